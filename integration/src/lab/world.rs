//! The environment of a program in the lab: host names, realm, tickets.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::machine::{names, process::run};

/// The environment variables that put a program into the lab's world.
#[derive(Clone, Debug)]
pub struct World {
    variables: Vec<(&'static str, String)>,
}

impl World {
    /// The world of the lab in `folder`, whether this process runs it or another does.
    pub fn of(folder: &Path) -> Result<World> {
        let variables = vec![
            (
                "KRB5_CONFIG",
                folder.join("realm/krb5.conf").display().to_string(),
            ),
            (
                "KRB5CCNAME",
                format!("FILE:{}", folder.join("realm/tickets/shell").display()),
            ),
            (
                "LD_PRELOAD",
                folder.join(names::LIBRARY).display().to_string(),
            ),
            ("LAB_HOSTS", folder.join("hosts").display().to_string()),
        ];
        Ok(World { variables })
    }

    /// The same with a ticket cache.
    pub fn with_tickets(mut self, cache: &Path) -> World {
        for (name, value) in &mut self.variables {
            if *name == "KRB5CCNAME" {
                *value = format!("FILE:{}", cache.display());
            }
        }
        self
    }

    /// The same with another `krb5.conf`.
    pub(crate) fn with_krb5_conf(mut self, path: &Path) -> World {
        for (name, value) in &mut self.variables {
            if *name == "KRB5_CONFIG" {
                *value = path.display().to_string();
            }
        }
        self
    }

    /// A command that resolves the lab's names and speaks to its KDC.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The variables as lines for a shell.
    pub fn exports(&self) -> String {
        let line = |(name, value): &(&str, String)| format!("export {name}='{value}'\n");
        self.variables.iter().map(line).collect()
    }
}

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, as text.
    pub body: String,
}

/// curl with SPNEGO, quiet but for errors, as whoever the world's tickets belong to.
pub fn curl(world: &World) -> Command {
    let mut curl = world.command("curl");
    curl.args(["-sS", "--max-time", "10", "--negotiate", "-u", ":"]);
    curl
}

/// Fetches one URL by curl; the error is curl's if there was no answer.
pub(crate) fn get(world: &World, url: &str) -> Result<Answer> {
    let mut curl = curl(world);
    curl.args(["-w", "\n%{http_code}"]).arg(url);
    let said = run(curl)?;
    let (body, status) = said.rsplit_once('\n').context("curl said nothing")?;
    Ok(Answer {
        status: status.parse()?,
        body: body.to_owned(),
    })
}

/// The lab's default folder: one for each user in the machine's folder for temporary files, or
/// `$SPNEGATE_LAB_DIR`.
pub fn default_folder() -> PathBuf {
    std::env::var_os("SPNEGATE_LAB_DIR").map_or_else(
        || std::env::temp_dir().join(format!("spnegate-lab-{}", crate::machine::sys::user_id())),
        PathBuf::from,
    )
}
