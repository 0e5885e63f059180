//! A headless Firefox, driven by its own remote protocol (Marionette: `length:json` over TCP).

use std::{
    fs,
    io::{BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Duration,
};

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
user_pref("browser.download.folderList", 2);
user_pref("browser.download.useDownloadDir", true);
user_pref("browser.helperApps.neverAsk.saveToDisk", "application/octet-stream");
"#;
/// A start and a page take seconds; this is for a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running browser; ends with this.
pub struct Firefox {
    process: Child,
    stream: BufReader<TcpStream>,
    last: u64,
    profile: PathBuf,
}

impl Firefox {
    /// Starts one as a user, with a new profile of that name.
    pub fn start(user: &str, profile: &str) -> Self {
        let lab = &stage().lab;
        let profile = lab.folder().join(format!("firefox-{profile}"));
        fs::create_dir_all(&profile).unwrap();
        let downloads = profile.join("downloads");
        fs::create_dir_all(&downloads).unwrap();
        let downloads = format!(
            "user_pref(\"browser.download.dir\", \"{}\");\n",
            downloads.display()
        );
        fs::write(profile.join("user.js"), format!("{PREFERENCES}{downloads}")).unwrap();
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
            profile,
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

    /// Where the page is.
    pub fn url(&mut self) -> String {
        let answer = self.ask("WebDriver:GetCurrentURL", &json!({}));
        answer["value"].as_str().unwrap().to_owned()
    }

    /// The value of an input or text field, and nothing where there is none.
    pub fn value(&mut self, css: &str) -> String {
        let script =
            "const found = document.querySelector(arguments[0]); return found ? found.value : ''";
        let parameters = json!({ "script": script, "args": [css] });
        let answer = self.ask("WebDriver:ExecuteScript", &parameters);
        answer["value"].as_str().unwrap_or_default().to_owned()
    }

    /// Presses what a selector finds, as soon as it is there and nothing is before it.
    pub fn click(&mut self, css: &str) {
        self.element(css, "WebDriver:ElementClick", &json!({}));
    }

    /// Presses the link with this text, as soon as there is one.
    pub fn click_link(&mut self, text: &str) {
        self.when_found("link text", text, "WebDriver:ElementClick", &json!({}));
    }

    /// Types into a field; for a field of files: chooses one.
    pub fn type_into(&mut self, css: &str, text: &str) {
        self.element(css, "WebDriver:ElementSendKeys", &json!({ "text": text }));
    }

    /// The content of a file that was downloaded, as soon as it is complete.
    pub fn downloaded(&self, name: &str) -> Vec<u8> {
        let file = self.profile.join("downloads").join(name);
        let part = file.with_file_name(format!("{name}.part"));
        wait::until(&format!("{name} is downloaded"), PATIENCE, || {
            let content = fs::read(&file).ok();
            Ok(content.filter(|content| !content.is_empty() && !part.exists()))
        })
        .unwrap()
    }

    fn element(&mut self, css: &str, command: &str, parameters: &Value) {
        self.when_found("css selector", css, command, parameters);
    }

    /// A command about an element, repeated while the element is missing, hidden or moving.
    fn when_found(&mut self, using: &str, what: &str, command: &str, parameters: &Value) {
        let mut last = Value::Null;
        let done = wait::until(&format!("{command} of {what}"), PATIENCE, || {
            let found = self.try_ask(
                "WebDriver:FindElement",
                &json!({ "using": using, "value": what }),
            );
            let done = found.and_then(|found| {
                let id = found["value"].as_object().and_then(|id| id.values().next());
                let mut parameters = parameters.clone();
                parameters["id"] = id.cloned().unwrap_or_default();
                self.try_ask(command, &parameters)
            });
            Ok(match done {
                Ok(_) => Some(()),
                Err(error) => {
                    last = error;
                    None
                }
            })
        });
        assert!(done.is_ok(), "{command} of {what}: {last}");
    }

    fn ask(&mut self, command: &str, parameters: &Value) -> Value {
        self.try_ask(command, parameters)
            .unwrap_or_else(|error| panic!("{command} {parameters}: {error}"))
    }

    /// The result, or the error that the browser names.
    fn try_ask(&mut self, command: &str, parameters: &Value) -> Result<Value, Value> {
        self.last += 1;
        let text = json!([0, self.last, command, parameters]).to_string();
        let message = format!("{}:{text}", text.len());
        self.stream.get_mut().write_all(message.as_bytes()).unwrap();
        // [1, number, error, result]
        let answer = self.message();
        match &answer[2] {
            Value::Null => Ok(answer[3].clone()),
            error => Err(error.clone()),
        }
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
