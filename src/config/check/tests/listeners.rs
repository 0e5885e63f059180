//! Conflicts between sections.

use super::*;

#[test]
fn consoles_on_one_address_need_different_hosts_or_paths() {
    let second = |more: &str| {
        let text = "[[console]]\nname = \"b\"\nkind = \"generic\"\nidentity = \"service\"\n\
                    backends = [\"http://b.example.com:80\"]\n";
        problems(&format!("{GOOD}{text}{more}"))
    };
    let same = "listen = \"127.0.0.1:50070\"\n";
    assert_eq!(
        second(same),
        [
            "17: console[1].listen: console `files` already serves door.example.com on \
          127.0.0.1:50070 with the same path"
        ]
    );
    assert!(second(&format!("{same}path = \"/b\"\n")).is_empty());
    assert_eq!(
        second("listen = \"0.0.0.0:50070\"\n").len(),
        1,
        "a wildcard takes the port"
    );
    for key in ["accept_proxy", "trusted_proxies"] {
        let more = format!("{same}path = \"/b\"\n{key} = \"10.0.0.1\"\n");
        let expected = format!(
            "17: console[1].listen: console `files` shares the listener 127.0.0.1:50070 but has different `{key}`"
        );
        assert_eq!(second(&more), [expected]);
    }
    assert!(second("listen = \"0.0.0.0:50071\"\n").is_empty());
    assert!(
        second("listen = [\"0.0.0.0:1\", \"[::]:1\"]\n").is_empty(),
        "two families"
    );
    assert_eq!(second("listen = [\"0.0.0.0:1\", \"0.0.0.0:1\"]\n").len(), 1);
    let other = second("listen = \"127.0.0.1:1\"\nname = \"files\"\n");
    assert_eq!(
        other.len(),
        1,
        "TOML itself refuses the second name: {other:?}"
    );
}

#[test]
fn a_resourcemanager_in_one_origin_with_another_console_is_a_warning() {
    let console = |name: &str, kind: &str, listen: &str, rest: &str| {
        format!(
            "[[console]]\nname = \"{name}\"\nkind = \"{kind}\"\nlisten = \"{listen}\"\n\
             backends = [\"http://{name}.example.com:1\"]\nidentity = \"service\"\n{rest}\n"
        )
    };
    let start = &GOOD[..GOOD.find("[[console]]").unwrap()];
    let warned = |rm: &str, nn: &str| {
        let text = format!("{start}{rm}{nn}");
        let (_, warnings) = check(&text).unwrap();
        let shared = "console `rm` shares 127.0.0.1:80 with console `nn`";
        warnings
            .iter()
            .any(|warning| warning.kind.to_string().contains(shared))
    };
    let here = "127.0.0.1:80";
    let rm = console("rm", "resourcemanager", here, "");
    assert!(warned(
        &rm,
        &console("nn", "namenode", here, "path = \"/webhdfs\"")
    ));
    // another address, or another name, is another origin
    assert!(!warned(&rm, &console("nn", "namenode", "127.0.0.1:81", "")));
    let door = "hosts = [\"door.example.com\"]";
    let proxy = "hosts = [\"proxy.example.com\"]";
    assert!(!warned(
        &console("rm", "resourcemanager", here, proxy),
        &console("nn", "namenode", here, door)
    ));
}

#[test]
fn a_backend_with_a_host_name_of_the_gateway_is_a_warning_only() {
    let text = with("http://NN1.example.com", "http://proxy.example.com");
    let (_, warnings) = check(&text).unwrap();
    assert!(
        warnings
            .iter()
            .any(|w| w.to_string().contains("requests loop")),
        "{warnings:?}"
    );
    let found = problems(&with("http://NN1.example.com", "http://127.0.0.1"));
    assert_eq!(found.len(), 1, "{found:?}");
}
