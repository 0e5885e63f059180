//! Clients of MIT Kerberos and Java whose `krb5.conf` names only the gateway.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
};

use spnegate::gss::Principal;

use crate::{gateway::unique, realm::Realm};

/// A realm with a user and a service.
pub struct World {
    pub realm: Realm,
    pub alice: Principal,
    pub service: Principal,
    pub keytab: PathBuf,
}

/// The realm shared by all tests that do not change it.
pub fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(World::start)
}

/// How a client reaches its KDC.
pub struct Client<'w> {
    world: &'w World,
    conf: PathBuf,
    cache: PathBuf,
    /// Written before each command, such as `nsenter`.
    pub prefix: Vec<String>,
}

impl World {
    pub fn start() -> Self {
        let realm = Realm::start();
        let alice = realm.principal("alice");
        let service = realm.spn("proxy");
        let keytab = realm.add_with_keytab("alice.keytab", &[&alice, &service]);
        Self {
            realm,
            alice,
            service,
            keytab,
        }
    }

    /// A client with `kdc = …` and more lines of `[libdefaults]`.
    pub fn client(&self, kdc: &str, libdefaults: &str, realm_lines: &str) -> Client<'_> {
        let name = self.realm.name();
        let text = format!(
            "[libdefaults]\n default_realm = {name}\n dns_lookup_kdc = false\n \
             dns_lookup_realm = false\n dns_canonicalize_hostname = false\n rdns = false\n \
             {libdefaults}\n[realms]\n {name} = {{\n  kdc = {kdc}\n  {realm_lines}\n }}\n\
             [domain_realm]\n .{} = {name}\n",
            self.realm.domain()
        );
        let conf = self.realm.path(&unique("krb5.conf"));
        fs::write(&conf, text).unwrap();
        Client {
            world: self,
            conf,
            cache: self.realm.path(&unique("cache")),
            prefix: Vec::new(),
        }
    }
}

/// TCP only.
pub const TCP: &str = "udp_preference_limit = 1";
/// UDP first, as MIT's client does for messages that fit.
pub const UDP: &str = "udp_preference_limit = 32700";

impl Client<'_> {
    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program, arguments).output().unwrap()
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut words = self.prefix.iter().map(String::as_str).chain([program]);
        let mut command = Command::new(words.next().unwrap());
        command
            .args(words)
            .args(arguments)
            .env("KRB5_CONFIG", &self.conf)
            .env("KRB5CCNAME", format!("FILE:{}", self.cache.display()))
            .env("LC_ALL", "C");
        command
    }

    /// Logs in and gets a ticket, or returns the error message.
    pub fn log_in(&self) -> Result<(), String> {
        let World {
            alice,
            service,
            keytab,
            ..
        } = self.world;
        let keytab = keytab.to_str().unwrap();
        let alice = alice.to_string();
        for (program, arguments) in [
            ("kinit", vec!["-k", "-t", keytab, &*alice]),
            ("kvno", vec![&*service.to_string()]),
        ] {
            let output = self.run(program, &arguments);
            if !output.status.success() {
                return Err(String::from_utf8_lossy(&output.stderr).into_owned());
            }
        }
        Ok(())
    }

    /// Changes a user's password.
    pub fn change_password(&self, user: &Principal, old: &str, new: &str) -> Result<(), String> {
        let mut child = self
            .command("kpasswd", &[&user.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        write!(input, "{old}\n{new}\n{new}\n").unwrap();
        drop(input);
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(String::from_utf8_lossy(&said).into_owned())
    }

    /// Logs in with Java's `Krb5LoginModule`.
    pub fn log_in_with_java(&self) -> Result<(), String> {
        let program = self.world.realm.path("Login.java");
        fs::write(&program, LOGIN).unwrap();
        let conf = format!("-Djava.security.krb5.conf={}", self.conf.display());
        let alice = self.world.alice.to_string();
        let output = self.run(
            "java",
            &[
                &conf,
                program.to_str().unwrap(),
                self.world.keytab.to_str().unwrap(),
                &alice,
            ],
        );
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

/// Whether Java is installed.
pub fn has_java() -> bool {
    let found = Command::new("java").arg("-version").output();
    let found = found.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("no java: not tested; install openjdk-17-jdk-headless");
    }
    found
}

const LOGIN: &str = r#"
import java.util.*;
import javax.security.auth.Subject;
import javax.security.auth.login.*;

public class Login {
    public static void main(String[] args) throws Exception {
        Map<String, String> options = new HashMap<>();
        options.put("useKeyTab", "true");
        options.put("keyTab", args[0]);
        options.put("principal", args[1]);
        options.put("doNotPrompt", "true");
        var entry = new AppConfigurationEntry("com.sun.security.auth.module.Krb5LoginModule",
            AppConfigurationEntry.LoginModuleControlFlag.REQUIRED, options);
        var configuration = new Configuration() {
            public AppConfigurationEntry[] getAppConfigurationEntry(String name) {
                return new AppConfigurationEntry[] { entry };
            }
        };
        new LoginContext("client", new Subject(), null, configuration).login();
    }
}
"#;

/// The file of a certificate that clients trust.
pub fn write_pem(directory: &Path, names: &[&str]) -> (PathBuf, PathBuf) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let certified = rcgen::generate_simple_self_signed(names).unwrap();
    let (cert, key) = (
        directory.join(unique("tls.crt")),
        directory.join(unique("tls.key")),
    );
    fs::write(&cert, certified.cert.pem()).unwrap();
    fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    (cert, key)
}
