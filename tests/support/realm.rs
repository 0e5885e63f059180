//! Throwaway MIT realms for tests in one process: `#[path = "support/realm.rs"] mod realm;`
//!
//! `Realm::start()` creates a realm of its own: database, KDC on a loopback address and a directory
//! for keytabs. The Kerberos library reads `KRB5_CONFIG` from the environment, which safe code
//! cannot set once threads run. Therefore the first call in a process writes a `krb5.conf` for many
//! realms and replaces the process by itself (`exec`, same arguments) with the environment set, and
//! a test has to call `Realm::start()` before it starts anything else.
//!
//! No process is left behind: each KDC is ended by a shell that waits for the end of a pipe from
//! this process, which is closed even if the process is killed.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses a part of it"
)]

use std::{
    env,
    fmt::Write,
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use spnegate::gss::Principal;

mod kdc;

pub use kdc::Kdc;

/// Number of realms that one process may start.
const REALMS: usize = 60;
const HOME: &str = "SPNEGATE_TEST_REALMS";
const SKEW: &str = "SPNEGATE_TEST_CLOCKSKEW";

/// A realm with a running KDC, which stops when the realm is dropped.
#[derive(Debug)]
pub struct Realm {
    name: String,
    directory: PathBuf,
    address: SocketAddr,
    kdc: Option<Kdc>,
}

// === impl Realm ===

impl Realm {
    /// Creates a realm with an unused name and starts its KDC.
    pub fn start() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let home = home();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(number < REALMS, "more realms than krb5.conf lists");
        let directory = home.join(format!("r{number}"));
        fs::create_dir(&directory).unwrap();
        let mut realm = Self {
            name: realm_name(number),
            directory,
            address: address(number),
            kdc: None,
        };
        fs::write(realm.path("kdc.conf"), realm.kdc_conf(realm.address)).unwrap();
        fs::write(realm.path("kadm5.acl"), "").unwrap();
        realm.run(
            "kdb5_util",
            &["create", "-s", "-r", &realm.name, "-P", "master"],
        );
        realm.start_kdc();
        realm
    }

    /// `R7.EXAMPLE.COM`
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `r7.example.com`; its hosts map to this realm.
    pub fn domain(&self) -> String {
        self.name.to_lowercase()
    }

    /// The address of the KDC, TCP and UDP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of `kadmind`'s password service, TCP and UDP, once it runs.
    pub fn passwords(&self) -> SocketAddr {
        self.beside(2_000)
    }

    fn beside(&self, ports: u16) -> SocketAddr {
        (self.address.ip(), self.address.port() + ports).into()
    }

    /// Starts `kadmind`, which changes passwords; it stops when the returned value is dropped.
    pub fn start_kadmind(&self) -> impl Drop + use<> {
        let kadmind = self.start_warded("kadmind -nofork -r \"$0\"", "kadmind.out");
        eventually("kadmind listens", || {
            TcpStream::connect(self.passwords()).is_ok()
        });
        kadmind
    }

    /// A file in the realm's directory.
    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// A principal of this realm: `alice`, `HTTP/proxy.r7.example.com`.
    pub fn principal(&self, name: &str) -> Principal {
        format!("{name}@{}", self.name).parse().unwrap()
    }

    /// `HTTP/<host>.<domain>@<REALM>`
    pub fn spn(&self, host: &str) -> Principal {
        self.principal(&format!("HTTP/{host}.{}", self.domain()))
    }

    /// Creates principals with random keys.
    pub fn add(&self, principals: &[&Principal]) {
        for principal in principals {
            self.admin(&format!("addprinc -randkey {principal}"));
        }
    }

    /// Creates a user with a password.
    pub fn add_user(&self, principal: &Principal, password: &str) {
        self.admin(&format!("addprinc -pw {password} {principal}"));
    }

    /// Changes the keys of principals in the KDC without writing a keytab.
    pub fn rotate(&self, principals: &[&Principal]) {
        for principal in principals {
            self.admin(&format!("cpw -randkey {principal}"));
        }
    }

    /// Writes the current keys into a new file of the realm's directory, and returns its path.
    pub fn keytab(&self, file: &str, principals: &[&Principal]) -> PathBuf {
        let path = self.path(file);
        let _ = fs::remove_file(&path);
        for principal in principals {
            let path = path.display();
            self.admin(&format!("ktadd -norandkey -k {path} {principal}"));
        }
        path
    }

    /// Creates principals and writes their keys into a keytab.
    pub fn add_with_keytab(&self, file: &str, principals: &[&Principal]) -> PathBuf {
        self.add(principals);
        self.keytab(file, principals)
    }

    /// Runs one `kadmin.local` query.
    pub fn admin(&self, query: &str) -> String {
        self.run("kadmin.local", &["-r", &self.name, "-q", query])
    }

    /// Obtains a ticket-granting ticket in the process's default collection of caches.
    pub fn kinit(&self, principal: &Principal, keytab: &Path) {
        let (keytab, principal) = (keytab.to_str().unwrap(), principal.to_string());
        self.run("kinit", &["-k", "-t", keytab, &principal]);
    }

    /// Starts the KDC and waits until it listens.
    pub fn start_kdc(&mut self) {
        self.kdc = Some(self.start_warded("krb5kdc -n -r \"$0\"", "kdc.out"));
        eventually("the KDC listens", || {
            TcpStream::connect(self.address).is_ok()
        });
    }

    /// The address of a second KDC of the realm, TCP and UDP, once it runs.
    pub fn second_address(&self) -> SocketAddr {
        self.beside(3_000)
    }

    /// Starts a second KDC of the realm.
    pub fn start_second_kdc(&self) -> Kdc {
        let address = self.second_address();
        let profile = self.path("kdc2.conf");
        fs::write(&profile, self.kdc_conf(address)).unwrap();
        let line = format!(
            "KRB5_KDC_PROFILE={} krb5kdc -n -r \"$0\"",
            profile.display()
        );
        let kdc = self.start_warded(&line, "kdc2.out");
        eventually("the second KDC listens", || {
            TcpStream::connect(address).is_ok()
        });
        kdc
    }

    /// Starts a server of the realm that ends when its handle is dropped or this process ends.
    fn start_warded(&self, line: &str, output: &str) -> Kdc {
        Kdc::start(self.command("sh"), line, &self.name, &self.path(output))
    }

    /// Stops the KDC; its port then refuses connections.
    pub fn stop_kdc(&mut self) {
        self.kdc = None;
    }

    /// Suspends the KDC (SIGSTOP): the kernel still accepts connections, but no response is sent.
    pub fn freeze_kdc(&self) {
        self.kdc.as_ref().unwrap().freeze();
    }

    /// Resumes the KDC (SIGCONT).
    pub fn thaw_kdc(&self) {
        self.kdc.as_ref().unwrap().thaw();
    }

    fn command(&self, program: &str) -> Command {
        let path = env::var("PATH").unwrap_or_default();
        let mut command = Command::new(program);
        command
            .env("PATH", format!("{path}:/usr/sbin:/sbin"))
            .env("KRB5_KDC_PROFILE", self.path("kdc.conf"));
        command
    }

    /// Runs a program of MIT krb5 and returns its output.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self
            .command(program)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|e| {
                panic!("{program}: {e}; install krb5-kdc krb5-admin-server krb5-user")
            });
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        // kadmin.local reports errors in its output only and exits with 0
        let failed = text.contains("while ") && program == "kadmin.local";
        assert!(
            output.status.success() && !failed,
            "{program} {arguments:?}: {text}"
        );
        text
    }

    fn kdc_conf(&self, address: SocketAddr) -> String {
        let Self {
            name, directory, ..
        } = self;
        let directory = directory.display();
        let (admin, passwords) = (self.beside(1_000), self.passwords());
        format!(
            "[kdcdefaults]\n kdc_listen = {address}\n kdc_tcp_listen = {address}\n\
             [realms]\n {name} = {{\n  database_name = {directory}/principal\n  \
             acl_file = {directory}/kadm5.acl\n  kadmind_listen = {admin}\n  \
             kpasswd_listen = {passwords}\n  key_stash_file = {directory}/stash\n  \
             supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal\n  \
             max_life = 24h\n }}\n[logging]\n kdc = FILE:{directory}/kdc.log\n"
        )
    }
}

impl Drop for Realm {
    fn drop(&mut self) {
        self.kdc = None;
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Waits for a condition for at most 20 seconds.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("not within 20 s: {what}");
}

/// Whether this process runs with this `clockskew`, in seconds. If not, the test of this name has
/// been run in a child process that does, and has passed there.
pub fn with_clockskew(seconds: u32, test: &str) -> bool {
    let seconds = seconds.to_string();
    if env::var(SKEW).is_ok_and(|value| value == seconds) {
        return true;
    }
    let status = Command::new(env::current_exe().unwrap())
        .args([test, "--exact"])
        .env(SKEW, seconds)
        .env_remove(HOME)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{test} failed with another clockskew");
    false
}

fn realm_name(number: usize) -> String {
    format!("R{number}.EXAMPLE.COM")
}

/// An address in 127.128/9 that no other process uses, derived from the process id.
fn address(number: usize) -> SocketAddr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let port = 8800 + u16::try_from(number).unwrap();
    (Ipv4Addr::new(127, 128 | a, b, c), port).into()
}

/// The directory of this process's realms; without one, the process is replaced and this does not
/// return.
fn home() -> &'static Path {
    static HOME_DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    HOME_DIRECTORY.get_or_init(|| {
        let own = format!("spnegate-realms-{}", std::process::id());
        match env::var_os(HOME).map(PathBuf::from) {
            Some(home) if home.ends_with(&own) => {
                remove_at_end(&home);
                home
            }
            Some(_) | None => enter(&env::temp_dir().join(own)),
        }
    })
}

fn enter(home: &Path) -> PathBuf {
    let _ = fs::remove_dir_all(home);
    fs::create_dir_all(home.join("ccaches")).unwrap();
    let mut conf = format!(
        "[libdefaults]\n dns_lookup_kdc = false\n dns_lookup_realm = false\n \
         dns_canonicalize_hostname = false\n rdns = false\n forwardable = true\n \
         udp_preference_limit = 1\n clockskew = {}\n[realms]\n",
        env::var(SKEW).unwrap_or_else(|_| "300".to_owned())
    );
    for number in 0..REALMS {
        let (name, kdc) = (realm_name(number), address(number));
        writeln!(conf, " {name} = {{\n  kdc = {kdc}\n }}").unwrap();
    }
    conf.push_str("[domain_realm]\n");
    for number in 0..REALMS {
        let name = realm_name(number);
        writeln!(conf, " .{} = {name}", name.to_lowercase()).unwrap();
    }
    fs::write(home.join("krb5.conf"), conf).unwrap();
    let error = Command::new(env::current_exe().unwrap())
        .args(env::args_os().skip(1))
        .env(HOME, home)
        .env("KRB5_CONFIG", home.join("krb5.conf"))
        // a collection of caches: the library chooses the cache of the target's realm
        .env("KRB5CCNAME", format!("DIR:{}/ccaches", home.display()))
        .env("KRB5_KTNAME", format!("FILE:{}/none", home.display()))
        .env(
            "KRB5_CLIENT_KTNAME",
            format!("FILE:{}/none", home.display()),
        )
        .env("LC_ALL", "C")
        .exec();
    panic!("the test program cannot start itself again: {error}");
}

/// Starts a shell that removes the directory when this process ends.
fn remove_at_end(home: &Path) {
    let warden = Command::new("sh")
        .args(["-c", "read end; rm -rf \"$0\""])
        .arg(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // the shell's standard input must stay open until then
    std::mem::forget(warden);
}
