//! A headless Firefox, driven by its own remote protocol (Marionette: `length:json` over TCP).

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use lab::wait;
use serde_json::{Value, json};

use super::stage;

/// What an operator sets for the gateway's host, and what keeps a new profile quiet.
const PREFERENCES: &str = r#"
user_pref("network.negotiate-auth.trusted-uris", "proxy.example.com");
user_pref("marionette.port", 0);
user_pref("app.normandy.enabled", false);
user_pref("app.update.enabled", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("toolkit.telemetry.enabled", false);
"#;
/// A start and a page take seconds; this is for a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running browser; ends with this.
pub struct Firefox {
    process: Child,
    stream: BufReader<TcpStream>,
    last: u64,
}

impl Firefox {
    /// Starts one with a new profile, as a user.
    pub fn start(user: &str) -> Self {
        let lab = &stage().lab;
        let profile = lab.folder().join(format!("firefox-{user}"));
        fs::create_dir_all(&profile).unwrap();
        fs::write(profile.join("user.js"), PREFERENCES).unwrap();
        let process = lab
            .command_as(user, "firefox-esr")
            .unwrap()
            .args(["--headless", "--marionette", "--no-remote", "--profile"])
            .arg(&profile)
            .env("HOME", lab.folder())
            .env("MOZ_DISABLE_CONTENT_SANDBOX", "1")
            .stdout(Stdio::null())
            .stderr(fs::File::create(profile.join("log")).unwrap())
            .spawn()
            .expect("Firefox runs (Debian package firefox-esr)");
        let mut firefox = Self {
            process,
            stream: BufReader::new(marionette(&profile)),
            last: 0,
        };
        firefox.message();
        firefox.ask("WebDriver:NewSession", &json!({}));
        firefox
    }

    /// Goes to a page.
    pub fn go(&mut self, url: &str) {
        self.ask("WebDriver:Navigate", &json!({ "url": url }));
    }

    /// The page as it stands now, after its scripts.
    pub fn page(&mut self) -> String {
        let answer = self.ask("WebDriver:GetPageSource", &json!({}));
        answer["value"].as_str().unwrap().to_owned()
    }

    fn ask(&mut self, command: &str, parameters: &Value) -> Value {
        self.last += 1;
        let text = json!([0, self.last, command, parameters]).to_string();
        let message = format!("{}:{text}", text.len());
        self.stream.get_mut().write_all(message.as_bytes()).unwrap();
        // [1, number, error, result]
        let answer = self.message();
        assert_eq!(answer[2], Value::Null, "{command} {parameters}");
        answer[3].clone()
    }

    fn message(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            match byte[0] {
                b':' => break,
                digit => length = length * 10 + usize::from(digit - b'0'),
            }
        }
        let mut text = vec![0; length];
        self.stream.read_exact(&mut text).unwrap();
        serde_json::from_slice(&text).unwrap()
    }
}

impl Drop for Firefox {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Firefox writes the port that it has chosen into its profile.
fn marionette(profile: &Path) -> TcpStream {
    let file = profile.join("MarionetteActivePort");
    let stream = wait::until("Firefox listens", PATIENCE, || {
        let port = fs::read_to_string(&file).ok();
        let port = port.and_then(|text| text.trim().parse::<u16>().ok());
        Ok(port.and_then(|port| TcpStream::connect(("127.0.0.1", port)).ok()))
    });
    let stream = stream.unwrap_or_else(|error| {
        let log = fs::read_to_string(profile.join("log")).unwrap_or_default();
        panic!("{error:#}: {log}");
    });
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}
