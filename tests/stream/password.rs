//! Changes of password (RFC 3244) through the gateway: TCP, UDP and HTTPS.

use crate::{
    gateway::{Gateway, stream, unique},
    kerberos::{TCP, UDP, World, write_pem},
};

#[test]
fn a_password_is_changed_over_tcp_udp_and_https() {
    let world = World::start();
    let _kadmind = world.realm.start_kadmind();
    let bob = world.realm.principal("bob");
    world.realm.add_user(&bob, "old0");
    let (kdc, passwords) = (world.realm.address(), world.realm.passwords());
    let (cert, key) = write_pem(&world.realm.path(""), &["localhost"]);
    let both = "kind = \"kdc\"";
    let gateway = Gateway::start(&format!(
        "{}{}[[kdc_proxy]]\nlisten = \"127.0.0.1:0\"\nrealm = \"{}\"\nbackends = [\"{kdc}\"]\n\
         kpasswd = [\"{passwords}\"]\ntls = {{ cert = \"{}\", key = \"{}\" }}\n",
        stream(&unique("kdc"), &[kdc], both),
        stream(&unique("kpasswd"), &[passwords], both),
        world.realm.name(),
        cert.display(),
        key.display(),
    ));
    let [kdc, passwords] = gateway.addresses()[..] else {
        panic!("two streams");
    };
    let url = format!("https://localhost:{}/KdcProxy", gateway.http().port());
    let server = format!("kpasswd_server = {passwords}");
    let https = format!(
        "kpasswd_server = {url}\n  http_anchors = FILE:{}",
        cert.display()
    );
    let ways = [
        (kdc.to_string(), TCP, &server),
        (kdc.to_string(), UDP, &server),
        (url, "", &https),
    ];
    for (turn, (kdc, libdefaults, lines)) in ways.into_iter().enumerate() {
        let client = world.client(&kdc, libdefaults, lines);
        let (old, new) = (format!("old{turn}"), format!("old{}", turn + 1));
        client.change_password(&bob, &old, &new).unwrap();
    }
}
