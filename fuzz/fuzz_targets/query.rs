//! `identity::query`: no parser sees a forbidden name except the gateway's own, which is first; all
//! other parameters keep their bytes and order.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spnegate::testing::query;

const FORBIDDEN: &[&str] = &["doas", "user.name", "delegation"];

fn names<'q>(query: &'q str, separators: &'static [char]) -> impl Iterator<Item = String> + 'q {
    query.split(separators).map(|piece| {
        let name = piece
            .split('=')
            .next()
            .unwrap_or_default()
            .replace('+', " ");
        percent_encoding::percent_decode_str(&name)
            .decode_utf8_lossy()
            .to_lowercase()
    })
}

fuzz_target!(|text: &str| {
    let Ok(left) = query::scrub(text, FORBIDDEN) else {
        return;
    };
    let sent = query::compose(Some(("doAs", "alice")), &left);
    for separators in [&['&'][..], &['&', ';'][..]] {
        let mut seen = names(&sent, separators);
        assert_eq!(seen.next().as_deref(), Some("doas"));
        assert!(!seen.any(|name| FORBIDDEN.contains(&name.as_str())));
    }
    let kept: Vec<&str> = text
        .split('&')
        .filter(|piece| !names(piece, &['&']).any(|name| FORBIDDEN.contains(&name.as_str())))
        .collect();
    assert_eq!(left, kept.join("&"));
});
