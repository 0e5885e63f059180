//! WebHDFS through the gateway, DataNode included: 1 GiB up and down with memory flat, appends, and
//! the two-step writes of the NameNode's file browser.
#![allow(clippy::unwrap_used, reason = "a test's helpers fail as the test does")]

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter, Read, Write},
    path::Path,
    process::Stdio,
    sync::OnceLock,
    time::Instant,
};

use lab::{Console, Gateway, Server, Stage};

const MIB: u64 = 1 << 20;
const SIZE: u64 = 1024 * MIB;
/// What the gateway may grow by while 1 GiB goes through. Far more than it does.
const BOUND: u64 = 64 * MIB;

fn stage() -> &'static Stage {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    STAGE.get_or_init(|| Stage::set(Server::HDFS, "").unwrap())
}

fn url(path: &str) -> String {
    Gateway::url(Console::NameNode, &format!("/webhdfs/v1/user/alice/{path}"))
}

/// Bytes that no two places of share: the same for every call, and not compressible.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, block: &mut [u8]) {
        for word in block.chunks_exact_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_le_bytes());
        }
    }
}

fn write_noise(path: &Path) {
    let mut file = BufWriter::new(File::create(path).unwrap());
    let (mut noise, mut block) = (Noise(42), vec![0; 1 << 20]);
    for _ in 0..SIZE / MIB {
        noise.fill(&mut block);
        file.write_all(&block).unwrap();
    }
    file.flush().unwrap();
}

/// Reads to the end, and counts the bytes; fails at the first that differs.
fn check_noise(from: impl Read) -> u64 {
    let mut from = BufReader::with_capacity(1 << 20, from);
    let (mut noise, mut block, mut got) = (Noise(42), vec![0; 1 << 20], vec![0; 1 << 20]);
    for number in 0..SIZE / MIB {
        noise.fill(&mut block);
        from.read_exact(&mut got).unwrap();
        assert!(got == block, "MiB {number} differs");
    }
    let mut rest = Vec::new();
    SIZE + from.read_to_end(&mut rest).unwrap() as u64
}

fn mib(bytes: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "some hundred MiB")]
    let mib = bytes as f64 / MIB as f64;
    mib
}

#[test]
fn one_gibibyte_is_transferred_both_ways_with_constant_memory() {
    let Stage { lab, gateway } = stage();
    let file = lab.folder().join("gibibyte");
    write_noise(&file);
    // the first requests of a process make it grow once: that is not what is measured
    assert_eq!(
        lab.fetch("alice", &[&url("?op=LISTSTATUS")])
            .unwrap()
            .status,
        200
    );
    let before = gateway.rss().unwrap();
    gateway.forget_peak().unwrap();

    let begun = Instant::now();
    let create = url("gibibyte?op=CREATE&overwrite=true");
    let from = file.display().to_string();
    let put = lab
        .fetch("alice", &["--max-time", "600", "-L", "-T", &from, &create])
        .unwrap();
    let put_took = begun.elapsed().as_secs_f64();
    assert_eq!(put.status, 201, "{put:?}");
    fs::remove_file(&file).unwrap();
    // the DataNode's token was in no place that the client could use without the gateway
    for location in put.headers("location") {
        assert!(
            !location.contains("dn1.example.com:50075/webhdfs")
                || location.contains("/.spnegate/node/")
        );
    }
    let after_put = gateway.rss().unwrap();

    let begun = Instant::now();
    let mut curl = lab.curl("alice").unwrap();
    curl.args([
        "--max-time",
        "600",
        "--fail",
        "-L",
        &url("gibibyte?op=OPEN"),
    ]);
    let mut curl = curl.stdout(Stdio::piped()).spawn().unwrap();
    let read = check_noise(curl.stdout.take().unwrap());
    assert!(curl.wait().unwrap().success());
    let get_took = begun.elapsed().as_secs_f64();
    assert_eq!(read, SIZE);
    let (after, peak) = (gateway.rss().unwrap(), gateway.peak().unwrap());

    println!(
        "1 GiB by WebHDFS: PUT {put_took:.1} s, GET {get_took:.1} s; the gateway's RSS {:.1} MiB \
         before, {:.1} after PUT, {:.1} after GET, {:.1} at most (+{:.1})",
        mib(before),
        mib(after_put),
        mib(after),
        mib(peak),
        mib(peak.saturating_sub(before))
    );
    assert!(peak < before + BOUND, "memory is not flat");
    let status = lab
        .fetch("alice", &[&url("gibibyte?op=GETFILESTATUS")])
        .unwrap();
    assert!(status.body.contains("\"owner\":\"alice\""), "{status:?}");
    assert!(
        status.body.contains(&format!("\"length\":{SIZE}")),
        "{status:?}"
    );
    let gone = lab
        .fetch("alice", &["-X", "DELETE", &url("gibibyte?op=DELETE")])
        .unwrap();
    assert_eq!(gone.status, 200);
}

#[test]
fn an_append_is_performed_once() {
    let lab = &stage().lab;
    let create = lab.fetch(
        "alice",
        &["-L", "-X", "PUT", "-d", "one,", &url("parts?op=CREATE")],
    );
    assert_eq!(create.as_ref().unwrap().status, 201, "{create:?}");
    let append = url("parts?op=APPEND");
    // -X and -d alone would repeat the POST as a GET after a 307: --post30x are for others
    let appended = lab
        .fetch("alice", &["-L", "-X", "POST", "-d", "two", &append])
        .unwrap();
    assert_eq!(appended.status, 200, "{appended:?}");
    let read = lab.fetch("alice", &["-L", &url("parts?op=OPEN")]).unwrap();
    assert_eq!(read.body, "one,two");
}

#[test]
fn both_steps_of_the_file_browser_go_through_the_gateway() {
    let lab = &stage().lab;
    let ask = url("browsed?op=CREATE&noredirect=true");
    let asked = lab.fetch("alice", &["-X", "PUT", &ask]).unwrap();
    assert_eq!(asked.status, 200, "{asked:?}");
    let answer: serde_json::Value = serde_json::from_str(&asked.body).unwrap();
    let link = answer["Location"].as_str().unwrap();
    let link = if link.starts_with('/') {
        Gateway::url(Console::NameNode, link)
    } else {
        link.to_owned()
    };
    let node = Gateway::url(
        Console::NameNode,
        "/.spnegate/node/http/dn1.example.com:50075/",
    );
    assert!(link.starts_with(&node), "{link}");
    let put = lab
        .fetch("alice", &["-X", "PUT", "-d", "hello", &link])
        .unwrap();
    assert_eq!(put.status, 201, "{put:?}");
    let read = lab
        .fetch("alice", &["-L", &url("browsed?op=OPEN")])
        .unwrap();
    assert_eq!(read.body, "hello");
    // the link is alice's
    let stolen = lab.fetch("bob", &["-X", "PUT", "-d", "x", &link]).unwrap();
    assert_eq!(stolen.status, 403, "{stolen:?}");
    assert!(stolen.body.contains("node_link_user"), "{stolen:?}");
}

/// HDFS allows a backslash in a name; the paths of the gateway do so where HDFS reads them.
#[test]
fn a_file_name_with_a_backslash_works() {
    let lab = &stage().lab;
    let create = url("back%5Cslash?op=CREATE&overwrite=true");
    let put = lab.fetch("alice", &["-L", "-X", "PUT", "-d", "named", &create]);
    assert_eq!(put.as_ref().unwrap().status, 201, "{put:?}");
    let read = lab.fetch("alice", &["-L", &url("back%5Cslash?op=OPEN")]);
    assert_eq!(read.unwrap().body, "named");
    let listed = lab.fetch("alice", &[&url("?op=LISTSTATUS")]).unwrap();
    assert!(
        listed.body.contains(r#""pathSuffix":"back\\slash""#),
        "{listed:?}"
    );
}

/// Jetty's limit of 1,000 keys is one of forms; a query is limited by the size of the head, 64 KiB at
/// the NameNode and at the gateway, whose answer is 431.
#[test]
fn a_query_of_six_thousand_parameters_passes_and_a_larger_head_is_refused() {
    let lab = &stage().lab;
    let fetched = |count: usize| {
        let more: String = (0..count).map(|n| format!("&a{n:05}=1")).collect();
        let long = lab.folder().join("long-url");
        let line = format!("url = \"{}{more}\"\n", url("?op=LISTSTATUS"));
        fs::write(&long, line).unwrap();
        lab.fetch("alice", &["-K", &long.display().to_string()])
            .unwrap()
    };
    let most = fetched(6000);
    assert_eq!(most.status, 200, "{most:?}");
    assert!(most.body.contains("FileStatuses"), "{most:?}");
    assert_eq!(fetched(7500).status, 431);
}
