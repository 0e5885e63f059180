//! Apache httpd with `mod_auth_gssapi`.

use std::{fs, net::SocketAddrV4, os::unix::fs::chown, path::Path, process::Command};

use anyhow::{Context, Result};

use super::{Peer, write};
use crate::{
    bench::{
        stage::{self, Stage},
        who::Who,
    },
    machine::sys,
};

const PORT: u16 = 18084;
const CONFIG: &str = include_str!("../../../templates/bench/httpd.conf");
/// Debian's folder, and the usual one elsewhere.
const MODULES: [&str; 2] = ["/usr/lib/apache2/modules", "/etc/httpd/modules"];
/// Debian's user; httpd does not let its children be root.
const USER: &str = "www-data";

impl Peer {
    /// The name of its session cookie.
    pub const HTTPD_COOKIE: &str = "gssapi_session";
    /// The path of a page of its own, behind the same login.
    pub const HTTPD_LOCAL: &str = "/local/page";
    /// What that page says.
    pub const HTTPD_PAGE: &str = "a page of httpd's own\n";

    /// Starts it before a console.
    pub fn httpd(stage: &Stage, backend: SocketAddrV4) -> Result<Peer> {
        let listen = stage::proxy(PORT);
        let folder = stage.folder.join("httpd");
        let pages = folder.join("pages/local");
        fs::create_dir_all(&pages)?;
        fs::write(pages.join("page"), Peer::HTTPD_PAGE)?;
        let keytab = folder.join("httpd.keytab");
        fs::copy(&stage.keytab, &keytab)?;
        let krb5_conf = folder.join("krb5.conf");
        fs::copy(stage.lab.realm().krb5_conf(), &krb5_conf)?;
        let user = if sys::is_root() {
            give(&[&folder, &keytab, &krb5_conf])?;
            format!("User {USER}\nGroup {USER}")
        } else {
            String::new()
        };
        let modules = MODULES
            .into_iter()
            .find(|modules| Path::new(modules).is_dir())
            .context("httpd's modules are not installed")?;
        let rcache = format!("file2:{}", folder.join("rcache2").display());
        let words = [
            ("FOLDER", folder.to_string_lossy()),
            ("LISTEN", listen.to_string().into()),
            ("BACKEND", backend.to_string().into()),
            ("MODULES", modules.into()),
            ("USER", user.into()),
            ("KEYTAB", keytab.to_string_lossy()),
            ("RCACHE", rcache.into()),
        ];
        let path = folder.join("httpd.conf");
        write(CONFIG, &words, &path)?;
        let mut httpd = Command::new("/usr/sbin/apache2");
        httpd.arg("-DFOREGROUND").arg("-f").arg(path);
        httpd.env("KRB5_CONFIG", krb5_conf);
        Peer::start(Who::Httpd, &httpd, listen, &stage.folder)
    }
}

/// Makes files those of httpd's user.
fn give(paths: &[&Path]) -> Result<()> {
    let users = fs::read_to_string("/etc/passwd")?;
    let ids = ids(&users).with_context(|| format!("there is no user {USER}"))?;
    for path in paths {
        chown(path, Some(ids.0), Some(ids.1))
            .with_context(|| format!("cannot give {} to {USER}", path.display()))?;
    }
    Ok(())
}

fn ids(users: &str) -> Option<(u32, u32)> {
    let mut fields = users
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| (fields.next() == Some(USER)).then_some(fields))?;
    let user = fields.nth(1)?.parse().ok()?;
    Some((user, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_group_are_read_from_the_list_of_users() {
        let users = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:34:www:/var/www:/bin/false\n";
        assert_eq!(ids(users), Some((33, 34)));
    }
}
