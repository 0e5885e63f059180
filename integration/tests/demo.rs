//! `make demo`: the steps that run without input.

use std::process::Command;

#[test]
fn the_demo_completes_all_its_steps() {
    let demo = Command::new(env!("CARGO_BIN_EXE_demo"))
        .arg("--once")
        .output();
    let demo = demo.expect("the demo runs");
    let said = String::from_utf8_lossy(&demo.stdout);
    let told = String::from_utf8_lossy(&demo.stderr);
    assert!(demo.status.success(), "{said}{told}");
    for words in [
        "\"owner\":\"alice\"",
        "NORMAL",
        "kill -9",
        "the client saw no error",
    ] {
        assert!(said.contains(words), "{words}: {said}{told}");
    }
}
