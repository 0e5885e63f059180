//! The workload from which the profile of `make release` is recorded: the typical work of a gateway
//! over all code paths.
//!
//! Nothing is measured. The compiler takes code that is not run here for rare and optimises it for
//! size, so each path is exercised: sessions and logins, users sent by `doAs` and chunked responses
//! as in Hadoop, plain and TLS, HTTP/1.1 and HTTP/2, small responses and large bodies, and a
//! relayed port.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    backend::Backend,
    contender::{self, Contender},
    http::Answer,
    load::{Load, Pace, Requests},
    peer::Peer,
    stage::{Folder, PROXY, Stage, USER},
};
use crate::machine::{progress, wait};

/// The command that runs it; its argument is the gateway's program.
pub const COMMAND: &str = "train";

const PAGE: &str = "/page";
/// How long each number of connections reads pages.
const READS: Duration = Duration::from_secs(2);
/// The requests to the NameNode.
const STATUS: &str = "/webhdfs/v1/user/alice/file?op=GETFILESTATUS";
/// The gateway's settings to log in there and to verify that it honours `doAs`.
const PROOF: Duration = Duration::from_secs(20);
const LOGINS: usize = 2000;
/// Requests of one curl over TLS.
const OVER_TLS: usize = 2000;
/// Bytes of the large file.
const LARGE: u64 = 128 << 20;

/// Starts a gateway and keeps it busy until each path has been exercised.
pub fn main(arguments: &[String]) -> Result<()> {
    let [gateway] = arguments else {
        bail!("{COMMAND} wants the gateway's program");
    };
    let gateway = PathBuf::from(gateway);
    ensure!(gateway.exists(), "{} is not there", gateway.display());
    let folder = Folder::make()?;
    let stage = Stage::set(folder.path(), gateway, &[])?;
    make_key(folder.path())?;
    let large = make_large(folder.path())?;
    let backend = Backend::start(&stage)?;
    let peer = Peer::gateway_train(&stage, Backend::address())?;
    pages(&stage, &peer, &backend)?;
    statuses(&stage, &peer)?;
    logins(&stage, &peer)?;
    let plain = format!("http://{PROXY}:{}", peer.address.port());
    let tls = format!("https://{PROXY}:{}", Peer::train_tls().port());
    let stream = format!("http://{}", Peer::train_stream());
    progress::say("pages by TLS");
    for version in ["--http1.1", "--http2"] {
        let urls = format!("{tls}{PAGE}?[1-{OVER_TLS}]");
        curl(&stage, &[version, "-b", "", "-o", "/dev/null", &urls])?;
    }
    progress::say("large bodies");
    for base in [&plain, &tls, &stream] {
        let url = format!("{base}/files/large");
        curl(&stage, &["--expect100-timeout", "10", "-T", &large, &url])?;
        curl(&stage, &["-o", "/dev/null", &url])?;
    }
    Ok(())
}

fn pages(stage: &Stage, peer: &Peer, backend: &Backend) -> Result<()> {
    progress::say("pages with a session");
    let contender = Contender::log_in(stage, peer, PAGE)?;
    for connections in [1, 16, 64] {
        let load = Load {
            target: peer.target(),
            connections,
            requests: Requests::Same(&contender.get(PAGE), READS),
            pace: Pace::Closed,
            fresh: false,
        };
        load.run(&mut |answer| answer.must_be(200, &backend.body))
            .with_context(|| peer.last_words())?;
    }
    Ok(())
}

fn statuses(stage: &Stage, peer: &Peer) -> Result<()> {
    progress::say("WebHDFS as a user");
    let contender = wait::until("the gateway serves the NameNode", PROOF, || {
        Ok(Contender::log_in(stage, peer, STATUS).ok())
    })
    .with_context(|| peer.last_words())?;
    let owner = format!("\"owner\":\"{USER}\"");
    for connections in [4, 16] {
        let load = Load {
            target: peer.target(),
            connections,
            requests: Requests::Same(&contender.get(STATUS), READS),
            pace: Pace::Closed,
            fresh: false,
        };
        load.run(&mut |answer| {
            answer.must_have(200)?;
            let body = String::from_utf8_lossy(&answer.body);
            ensure!(body.contains(&owner), "no file of {USER}: {body}");
            Ok(())
        })
        .with_context(|| peer.last_words())?;
    }
    Ok(())
}

fn logins(stage: &Stage, peer: &Peer) -> Result<()> {
    progress::say("logins");
    for (path, fresh) in [
        (PAGE, false),
        (Peer::GATEWAY_LOCAL, true),
        (Backend::STATEMENT, false),
    ] {
        let requests: Vec<_> = stage
            .tokens(LOGINS)?
            .iter()
            .map(|token| contender::login(path, peer.address, token, fresh))
            .collect();
        let load = Load {
            target: peer.target(),
            connections: 16,
            requests: Requests::Each(&requests),
            pace: Pace::Closed,
            fresh,
        };
        load.run(&mut |answer: &Answer<'_>| answer.must_have(200))
            .with_context(|| peer.last_words())?;
    }
    Ok(())
}

/// A key for the TLS console, with a self-signed certificate.
fn make_key(folder: &Path) -> Result<()> {
    let mut openssl = Command::new("openssl");
    openssl
        .args(["req", "-x509", "-nodes", "-days", "1", "-newkey", "ec"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-subj", &format!("/CN={PROXY}")])
        .args(["-addext", &format!("subjectAltName=DNS:{PROXY}")])
        .arg("-keyout")
        .arg(folder.join("train.key"))
        .arg("-out")
        .arg(folder.join("train.pem"));
    let output = openssl.output().context("cannot start openssl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "openssl made no key: {said}");
    Ok(())
}

/// A large file, and a folder where the backend may write uploads.
fn make_large(folder: &Path) -> Result<String> {
    let files = folder.join("files");
    fs::create_dir(&files)?;
    // the backend's children run as another user if this process runs as root
    fs::set_permissions(&files, Permissions::from_mode(0o777))?;
    let large = folder.join("large");
    File::create(&large)?.set_len(LARGE)?;
    let large = large.to_str().context("a folder with a name in UTF-8")?;
    Ok(large.to_owned())
}

fn curl(stage: &Stage, arguments: &[&str]) -> Result<()> {
    let mut curl = stage.lab.curl(USER)?;
    curl.args(["--fail", "--insecure", "--max-time", "120"])
        .args(arguments);
    let output = curl.output().context("cannot start curl")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "curl {arguments:?}: {said}");
    Ok(())
}
