//! The NameNode's file browser: Head, Tail, Download and Upload pressed in a browser, all of them by
//! links to a DataNode.

use std::{fs, time::Duration};

use lab::{Console, Gateway, wait};

use super::{firefox::Firefox, stage};

const PATIENCE: Duration = Duration::from_secs(120);
/// What Head and Tail show.
const SHOWN: usize = 32 * 1024;

fn file(path: &str) -> String {
    Gateway::url(Console::NameNode, &format!("/webhdfs/v1/user/alice/{path}"))
}

/// Lines that are all different.
fn numbers() -> String {
    (0..20_000).map(|number| format!("{number}\n")).collect()
}

/// Waits until the preview is this text.
fn shows(firefox: &mut Firefox, text: &str) {
    let mut value = String::new();
    let shown = wait::until("the preview is there", PATIENCE, || {
        value = firefox.value("#file-info-preview-body");
        Ok((value == text).then_some(()))
    });
    assert!(shown.is_ok(), "{} bytes: {:.300}", value.len(), value);
}

#[test]
fn head_tail_download_and_upload_work_in_the_file_browser() {
    let lab = &stage().lab;
    let numbers = numbers();
    let local = lab.folder().join("numbers.txt");
    fs::write(&local, &numbers).unwrap();
    let from = local.display().to_string();
    let create = file("numbers.txt?op=CREATE&overwrite=true");
    let put = lab.fetch("alice", &["-L", "-T", &from, &create]).unwrap();
    assert_eq!(put.status, 201, "{put:?}");

    let mut firefox = Firefox::start("alice", "files");
    let browser = Gateway::url(Console::NameNode, "/explorer.html#/user/alice");
    firefox.go(&browser);
    firefox.click("tr[inode-path='numbers.txt'] .explorer-browse-links");
    firefox.click("#file-info-preview-head");
    shows(&mut firefox, &numbers[..SHOWN]);
    firefox.click("#file-info-preview-tail");
    shows(&mut firefox, &numbers[numbers.len() - SHOWN..]);
    firefox.click("#file-info-download");
    assert!(firefox.downloaded("numbers.txt") == numbers.as_bytes());

    let brought = lab.folder().join("brought.txt");
    fs::write(&brought, &numbers).unwrap();
    firefox.go("about:blank");
    firefox.go(&browser);
    firefox.click("#btn-upload-files");
    firefox.type_into("#modal-upload-file-input", &brought.display().to_string());
    firefox.click("#modal-upload-file-button");
    wait::until("the file is listed", PATIENCE, || {
        Ok(firefox
            .page()
            .contains("inode-path=\"brought.txt\"")
            .then_some(()))
    })
    .unwrap();
    let read = lab.fetch("alice", &["-L", &file("brought.txt?op=OPEN")]);
    assert!(read.unwrap().body == numbers);
    println!(
        "Firefox as alice: Head, Tail, Download and Upload, {} bytes",
        numbers.len()
    );
}
