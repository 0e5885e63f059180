//! A throwaway MIT realm: its database, its configuration files, users, keytabs and tickets.
//!
//! The KDC process itself is a server like the others ([`crate::Server::Kdc`]); all changes go
//! through `kadmin.local`, which works on the database's files whether the KDC runs or not.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    net::SocketAddrV4,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, ensure};

use crate::machine::{
    names::REALM,
    process::{run, run_with_input},
};

const KRB5_CONF: &str = include_str!("../../templates/krb5.conf");
const KDC_CONF: &str = include_str!("../../templates/kdc.conf");

/// The realm `EXAMPLE.COM` in one folder.
#[derive(Debug)]
pub struct Realm {
    folder: PathBuf,
    passwords: Mutex<BTreeMap<String, String>>,
}

impl Realm {
    /// Opens the realm below `folder`, or creates it; the KDC will listen at `kdc`.
    pub(crate) fn open(folder: &Path, kdc: SocketAddrV4) -> Result<Realm> {
        let realm = Realm {
            folder: folder.to_owned(),
            passwords: Mutex::default(),
        };
        for name in ["keytabs", "tickets", "db"] {
            fs::create_dir_all(folder.join(name))?;
        }
        let fill = |text: &str| {
            text.replace("@REALM@", REALM)
                .replace("@KDC@", &kdc.to_string())
                .replace("@ADDRESS@", &kdc.ip().to_string())
                .replace("@FOLDER@", &folder.display().to_string())
        };
        fs::write(realm.krb5_conf(), fill(KRB5_CONF))?;
        fs::write(realm.kdc_conf(), fill(KDC_CONF))?;
        fs::write(folder.join("db/kadm5.acl"), "")?;
        if !folder.join("db/principal").exists() {
            let mut create = realm.tool("kdb5_util");
            create.args(["create", "-s", "-r", REALM, "-P", "master"]);
            run(create)?;
        }
        Ok(realm)
    }

    /// The realm's `krb5.conf`, for `KRB5_CONFIG`.
    pub fn krb5_conf(&self) -> PathBuf {
        self.folder.join("krb5.conf")
    }

    fn kdc_conf(&self) -> PathBuf {
        self.folder.join("kdc.conf")
    }

    /// The command that runs the KDC in the foreground.
    pub(crate) fn kdc(&self) -> Command {
        let mut kdc = self.tool("krb5kdc");
        kdc.arg("-n").arg("-P").arg(self.folder.join("kdc.pid"));
        kdc
    }

    // === principals and keys ===

    /// Adds a user with a password, or changes the password.
    pub fn user(&self, name: &str, password: &str) -> Result<()> {
        self.kadmin(&[
            format!("addprinc -pw {password} {name}"),
            format!("cpw -pw {password} {name}"),
        ])?;
        self.passwords()
            .insert(name.to_owned(), password.to_owned());
        Ok(())
    }

    /// Adds service principals that are not there yet, each with a keytab of its own.
    pub fn principals_with_keytabs<'p>(
        &self,
        principals: impl IntoIterator<Item = &'p str>,
    ) -> Result<()> {
        let missing: Vec<_> = principals
            .into_iter()
            .filter(|principal| !self.keytab(principal).exists())
            .collect();
        let commands: Vec<_> = missing
            .iter()
            .flat_map(|principal| {
                let keytab = self.keytab(principal);
                [
                    format!("addprinc -randkey {principal}"),
                    format!("ktadd -norandkey -k {} {principal}", keytab.display()),
                ]
            })
            .collect();
        if !commands.is_empty() {
            let said = self.kadmin(&commands)?;
            for principal in missing {
                ensure!(
                    self.keytab(principal).exists(),
                    "no keytab for {principal}: {said}"
                );
            }
        }
        Ok(())
    }

    /// Adds one service principal (`HTTP/host.example.com`), and returns its keytab.
    pub fn principal_with_keytab(&self, principal: &str) -> Result<PathBuf> {
        self.principals_with_keytabs([principal])?;
        Ok(self.keytab(principal))
    }

    /// The path of a principal's keytab.
    pub fn keytab(&self, principal: &str) -> PathBuf {
        self.folder
            .join("keytabs")
            .join(format!("{}.keytab", principal.replace('/', "_")))
    }

    /// Writes one keytab with the current keys of several principals, which are added if missing.
    ///
    /// The file appears atomically by a rename.
    pub fn merged_keytab(&self, principals: &[&str], path: &Path) -> Result<()> {
        self.principals_with_keytabs(principals.iter().copied())?;
        let fresh = path.with_extension("keytab.new");
        if fresh.exists() {
            fs::remove_file(&fresh)?;
        }
        let names = principals.join(" ");
        let said = self.kadmin(&[format!("ktadd -norandkey -k {} {names}", fresh.display())])?;
        fs::rename(&fresh, path).with_context(|| format!("no keytab for {names}: {said}"))
    }

    /// New key in the KDC, and appended to the principal's keytab: what an admin does with `ktadd`.
    /// Old and new key both lie in the file. Returns the new key version.
    pub fn rotate_key(&self, principal: &str) -> Result<u32> {
        self.change_key(principal)?;
        self.append_key(principal)
    }

    /// Changes the key in the KDC only; the keytab file is not written. Returns the key version.
    pub fn change_key(&self, principal: &str) -> Result<u32> {
        let before = self.key_version(principal)?;
        self.kadmin(&[format!("cpw -randkey {principal}")])?;
        let now = self.key_version(principal)?;
        ensure!(now > before, "the key of {principal} did not change");
        Ok(now)
    }

    /// Appends the KDC's current key to the principal's keytab file. Returns the version.
    pub fn append_key(&self, principal: &str) -> Result<u32> {
        let keytab = self.keytab(principal);
        self.kadmin(&[format!(
            "ktadd -norandkey -k {} {principal}",
            keytab.display()
        )])?;
        self.key_version(principal)
    }

    /// Replaces the principal's keytab file by one with the KDC's current key only.
    pub fn replace_keytab(&self, principal: &str) -> Result<u32> {
        self.merged_keytab(&[principal], &self.keytab(principal))?;
        self.key_version(principal)
    }

    /// The version (kvno) of a principal's key in the KDC.
    pub fn key_version(&self, principal: &str) -> Result<u32> {
        let said = self.kadmin(&[format!("getprinc {principal}")])?;
        said.lines()
            .find_map(|line| {
                line.strip_prefix("Key: vno ")?
                    .split(',')
                    .next()?
                    .parse()
                    .ok()
            })
            .with_context(|| format!("no principal {principal}: {said}"))
    }

    /// Runs `kadmin.local` commands and returns the output, since its exit status does not report
    /// failures.
    pub fn kadmin(&self, commands: &[String]) -> Result<String> {
        let mut kadmin = self.tool("kadmin.local");
        kadmin
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = kadmin.spawn().context("cannot run kadmin.local")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all((commands.join("\n") + "\n").as_bytes())?;
        }
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kadmin.local failed: {said}");
        Ok(said)
    }

    // === tickets ===

    /// A fresh ticket of a user (by password) or a service (by keytab); returns the ticket cache.
    pub fn kinit(&self, principal: &str) -> Result<PathBuf> {
        self.kinit_with(principal, &[])
    }

    /// Like [`Realm::kinit`] with more options, for example `["-l", "10s"]` for a short lifetime.
    pub fn kinit_with(&self, principal: &str, options: &[&str]) -> Result<PathBuf> {
        let cache = self.ticket_cache(principal);
        let mut kinit = self.tool("kinit");
        kinit.args(options).arg("-c").arg(&cache);
        let password = self.passwords().get(principal).cloned();
        if let Some(password) = password {
            kinit.arg(principal);
            run_with_input(kinit, Some(&format!("{password}\n")))?;
        } else {
            let keytab = self.keytab(principal);
            ensure!(
                keytab.exists(),
                "{principal} has neither a password nor a keytab here"
            );
            kinit.arg("-k").arg("-t").arg(keytab).arg(principal);
            run(kinit)?;
        }
        Ok(cache)
    }

    /// The path of a principal's ticket cache, which need not exist.
    pub fn ticket_cache(&self, principal: &str) -> PathBuf {
        self.folder
            .join("tickets")
            .join(principal.replace('/', "_"))
    }

    /// Removes a principal's tickets.
    pub fn kdestroy(&self, principal: &str) -> Result<()> {
        let mut kdestroy = self.tool("kdestroy");
        kdestroy.arg("-c").arg(self.ticket_cache(principal));
        run(kdestroy).map(|_| ())
    }

    fn passwords(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, String>> {
        self.passwords
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// One of MIT's programs, with this realm's configuration and without tickets.
    fn tool(&self, name: &str) -> Command {
        let sbin = Path::new("/usr/sbin").join(name);
        let mut tool = if sbin.exists() {
            Command::new(sbin)
        } else {
            Command::new(name)
        };
        tool.env("KRB5_CONFIG", self.krb5_conf())
            .env("KRB5_KDC_PROFILE", self.kdc_conf())
            .env_remove("LD_PRELOAD")
            .env_remove("KRB5CCNAME");
        tool
    }
}
