//! Clients in their own network namespace, in which only the gateway is reachable.

use std::{
    fs,
    io::{BufRead, BufReader, Write as _},
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
};

use crate::{
    gateway::{Gateway, stream, unique},
    kerberos::{TCP, UDP, has_java, world, write_pem},
};

/// A network namespace with one link to this one; it ends with the shell that holds it.
struct Network {
    holder: Child,
    /// This end.
    gateway: Ipv4Addr,
}

impl Network {
    /// `None` if this user may not create one.
    fn start() -> Option<Self> {
        let [_, a, b, c] = std::process::id().to_be_bytes();
        let (near, far) = (format!("sg{a:x}{b:x}{c:x}a"), format!("sg{a:x}{b:x}{c:x}b"));
        let mut holder = Command::new("unshare")
            .args(["-n", "sh", "-c", "ip link set lo up; echo $$; read end"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut pid = String::new();
        let output = holder.stdout.as_mut()?;
        BufReader::new(output).read_line(&mut pid).ok()?;
        let pid = pid.trim();
        // a small network in 198.18.0.0/15, which is reserved for tests (RFC 2544)
        let net = |last: u8| Ipv4Addr::new(198, 18 + b % 2, c, last);
        let network = Self {
            holder,
            gateway: net(1),
        };
        let run = |line: String| {
            let status = Command::new("sh")
                .arg("-c")
                .arg(&line)
                .stderr(Stdio::null())
                .status();
            status.is_ok_and(|status| status.success())
        };
        let inside = |line: &str| format!("nsenter -t {pid} -n ip {line}");
        let made = !pid.is_empty()
            && run(format!(
                "ip link add {near} type veth peer name {far} netns {pid}"
            ))
            && run(format!(
                "ip addr add {}/30 dev {near} && ip link set {near} up",
                net(1)
            ))
            && run(inside(&format!("addr add {}/30 dev {far}", net(2))))
            && run(inside(&format!("link set {far} up")));
        made.then_some(network)
    }

    fn prefix(&self) -> Vec<String> {
        let pid = self.holder.id().to_string();
        ["nsenter", "-t", &pid, "-n"].map(str::to_owned).into()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Some(mut input) = self.holder.stdin.take() {
            let _ = input.write_all(b"\n");
        }
        let _ = self.holder.wait();
    }
}

#[test]
fn mit_and_java_log_in_on_a_network_with_only_the_gateway() {
    let world = world();
    let Some(network) = Network::start() else {
        eprintln!("no network namespace for this user: not tested");
        return;
    };
    let gateway_address = network.gateway;
    let kdc = world.realm.address();
    let (cert, key) = write_pem(&world.realm.path(""), &["gate.example.com"]);
    let listen = format!("kind = \"kdc\"\nlisten = \"{gateway_address}:0\"\n");
    let gateway = Gateway::start(&format!(
        "{}{}[[kdc_proxy]]\nlisten = \"{gateway_address}:0\"\nrealm = \"{}\"\nbackends = \
         [\"{kdc}\"]\ntls = {{ cert = \"{}\", key = \"{}\" }}\n",
        stream(
            &unique("ns-tcp"),
            &[kdc],
            &format!("{listen}protocols = [\"tcp\"]")
        ),
        stream(
            &unique("ns-udp"),
            &[kdc],
            &format!("{listen}protocols = [\"udp\"]")
        ),
        world.realm.name(),
        cert.display(),
        key.display(),
    ));
    // the KDC itself is not reachable
    let mut direct = world.client(&kdc.to_string(), TCP, "");
    direct.prefix = network.prefix();
    assert!(direct.log_in().is_err());
    let [tcp, udp] = gateway.addresses()[..] else {
        panic!("two streams");
    };
    let java = has_java();
    for (address, libdefaults) in [(tcp, TCP), (udp, UDP)] {
        let mut client = world.client(&address.to_string(), libdefaults, "");
        client.prefix = network.prefix();
        client.log_in().unwrap();
        if java {
            client.log_in_with_java().unwrap();
        }
    }
    // the name in the certificate, in a hosts file for this client only
    let hosts = world.realm.path("hosts");
    fs::write(&hosts, format!("{gateway_address} gate.example.com\n")).unwrap();
    let url = format!(
        "https://gate.example.com:{}/KdcProxy",
        gateway.http().port()
    );
    let anchors = format!("http_anchors = FILE:{}", cert.display());
    let mut client = world.client(&url, "", &anchors);
    let mount = format!("mount --bind {} /etc/hosts && exec \"$@\"", hosts.display());
    client.prefix = network.prefix();
    let mounts = ["unshare", "-m", "sh", "-c", &mount, "sh"];
    client.prefix.extend(mounts.map(str::to_owned));
    client.log_in().unwrap();
}
