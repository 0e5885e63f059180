//! HDFS: formatted once, asked which NameNode is active, failed over, its first folders made.

use std::{fs, io::Write, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    Lab,
    lab::world,
    machine::{process::run, wait},
    server::Server,
};

/// Path, owner, group and mode of what HDFS starts with.
const FOLDERS: &[(&str, &str, &str, &str)] = &[
    ("/tmp", "hdfs", "supergroup", "1777"),
    ("/tmp/logs", "yarn", "hadoop", "1777"),
    ("/user", "hdfs", "supergroup", "755"),
    ("/user/alice", "alice", "users", "750"),
    ("/user/bob", "bob", "users", "750"),
    ("/user/carol", "carol", "guests", "750"),
    ("/mr-history", "mapred", "hadoop", "755"),
    ("/mr-history/tmp", "mapred", "hadoop", "1777"),
    ("/mr-history/done", "mapred", "hadoop", "750"),
];
const NAMENODES: [Server; 2] = [Server::Nn1, Server::Nn2];
/// A killed NameNode is replaced within 2 s, a stopped one within 15 s, on an idle machine.
const FAILOVER: Duration = Duration::from_secs(120);

impl Lab {
    /// The NameNode whose `/isActive` says so, if any does now.
    pub fn active_namenode(&self) -> Result<Option<Server>> {
        self.first_active(&NAMENODES)
    }

    /// Waits until a NameNode is active.
    pub fn wait_active_namenode(&self) -> Result<Server> {
        wait::until("a NameNode is active", FAILOVER, || {
            self.fail_if_any_ended()?;
            self.active_namenode()
        })
    }

    /// Waits until a NameNode other than `than` is active.
    pub fn wait_active_namenode_other_than(&self, than: Server) -> Result<Server> {
        wait::until(
            &format!("a NameNode other than {than} is active"),
            FAILOVER,
            || Ok(self.active_namenode()?.filter(|active| *active != than)),
        )
    }

    /// `hdfs haadmin -failover FROM TO`, through the failover controllers. Takes some seconds.
    ///
    /// A NameNode that has just started may end itself while it takes over. It is then started
    /// again and the hand-over repeated once, from whichever is active by then.
    pub fn haadmin_failover(&self, from: Server, to: Server) -> Result<()> {
        let Err(error) = self.hand_over(from, to) else {
            return Ok(());
        };
        println!("the hand-over failed and is repeated: {error}");
        if !self.is_running(to) {
            self.start(to)?;
        }
        match self.wait_active_namenode()? {
            active if active == to => Ok(()),
            active => self.hand_over(active, to),
        }
    }

    fn hand_over(&self, from: Server, to: Server) -> Result<()> {
        let mut haadmin = self.hadoop(&self.hdfs_admin()?, "haadmin")?;
        haadmin.args(["-failover", from.name(), to.name()]);
        run(haadmin).map(|_| ())
    }

    /// Waits until HDFS can be written to: a NameNode active, out of safe mode, with a DataNode.
    pub fn wait_hdfs_ready(&self) -> Result<Server> {
        let bean = "jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState";
        wait::until(
            "HDFS is out of safe mode and has a DataNode",
            FAILOVER,
            || {
                self.fail_if_any_ended()?;
                let Some(active) = self.active_namenode()? else {
                    return Ok(None);
                };
                let Some(state) = self.gateway_get(active, bean) else {
                    return Ok(None);
                };
                let state = state.replace([' ', '\n'], "");
                let operational = state.contains("\"FSState\":\"Operational\"");
                let has_datanode =
                    state.contains("NumLiveDataNodes") && !state.contains("\"NumLiveDataNodes\":0");
                Ok((operational && has_datanode).then_some(active))
            },
        )
    }

    /// Makes the NameNodes' folders, once, whoever comes first. The JournalNode must be ready.
    pub(crate) fn format_hdfs(&self) -> Result<()> {
        let _turn = self.format_lock();
        let data = self.folder().join("data");
        let done = data.join("formatted");
        if done.exists() {
            return Ok(());
        }
        let first = NAMENODES.into_iter().find(|server| self.has(*server));
        let first = first.context("no NameNode to format")?;
        let main = "org.apache.hadoop.hdfs.server.namenode.NameNode";
        let mut format = self.daemons().tool(Some(first), main)?;
        format.args(["-format", "-force", "-nonInteractive", "-clusterId", "lab"]);
        run(format)?;
        // The other gets a copy, which is what -bootstrapStandby would fetch.
        let from = data.join(first.name()).join("current");
        for other in NAMENODES.into_iter().filter(|other| *other != first) {
            let to = data.join(other.name()).join("current");
            fs::create_dir_all(&to)?;
            for file in fs::read_dir(&from)? {
                let file = file?;
                fs::copy(file.path(), to.join(file.file_name()))?;
            }
        }
        Ok(fs::write(done, "")?)
    }

    /// Makes the failover controllers' node in ZooKeeper, once.
    pub(crate) fn format_zk(&self) -> Result<()> {
        let _turn = self.format_zk_lock();
        let done = self.folder().join("data/zk-formatted");
        if done.exists() {
            return Ok(());
        }
        let first = NAMENODES.into_iter().find(|server| self.has(*server));
        let main = "org.apache.hadoop.hdfs.tools.DFSZKFailoverController";
        let mut format = self.daemons().tool(first, main)?;
        format.args(["-formatZK", "-force", "-nonInteractive"]);
        run(format)?;
        Ok(fs::write(done, "")?)
    }

    /// Waits for HDFS, and makes its first folders, once.
    pub(crate) fn lay_out_hdfs(&self) -> Result<()> {
        let active = self.wait_hdfs_ready()?;
        let done = self.folder().join("data/laid-out");
        if done.exists() {
            return Ok(());
        }
        let base = active.url().context("a NameNode has a console")?;
        let mut steps = Vec::new();
        for (path, owner, group, mode) in FOLDERS {
            let operations = [
                format!("MKDIRS&permission={mode}"),
                format!("SETOWNER&owner={owner}&group={group}"),
                // MKDIRS takes the umask off, this does not.
                format!("SETPERMISSION&permission={mode}"),
            ];
            for operation in operations {
                steps.push(format!(
                    "url = \"{base}/webhdfs/v1{path}?op={operation}\"\nrequest = PUT\nnegotiate\n\
                     user = \":\"\nfail\nsilent\nshow-error\nmax-time = 30\noutput = /dev/null\n"
                ));
            }
        }
        let tickets = self.tickets(&self.hdfs_admin()?)?;
        let mut curl = self.world().with_tickets(&tickets).command("curl");
        curl.args(["--fail-early", "-K", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = curl.spawn().context("cannot run curl")?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(steps.join("next\n").as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!(
                "cannot make HDFS's folders: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(fs::write(done, "")?)
    }

    /// The principal of HDFS's superuser: a NameNode's own.
    pub fn hdfs_admin(&self) -> Result<String> {
        let namenode = NAMENODES.into_iter().find(|server| self.has(*server));
        Ok(format!(
            "hdfs/{}",
            namenode.context("this lab has no NameNode")?.host_name()
        ))
    }

    /// The first of these servers that says 200 to `/isActive`.
    pub(crate) fn first_active(&self, servers: &[Server]) -> Result<Option<Server>> {
        let here: Vec<_> = servers
            .iter()
            .copied()
            .filter(|server| self.has(*server))
            .collect();
        ensure!(!here.is_empty(), "this lab has none of {servers:?}");
        Ok(here
            .into_iter()
            .find(|server| self.gateway_get(*server, "isActive").is_some()))
    }

    /// A console's page as the gateway sees it, if it comes with status 200 at once.
    pub(crate) fn gateway_get(&self, server: Server, path: &str) -> Option<String> {
        let tickets = self.tickets(crate::GATEWAY).ok()?;
        let url = format!("{}/{path}", server.url()?);
        let mut curl = world::curl(&self.world().with_tickets(&tickets));
        curl.args(["--fail", "--max-time", "3"]).arg(url);
        run(curl).ok()
    }
}
