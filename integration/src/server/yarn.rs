//! YARN: asked which ResourceManager is active and whether it has a node.

use std::time::Duration;

use anyhow::Result;

use crate::{Lab, machine::wait, server::Server};

const RESOURCE_MANAGERS: [Server; 2] = [Server::Rm1, Server::Rm2];
const FAILOVER: Duration = Duration::from_secs(90);

impl Lab {
    /// The ResourceManager whose `/isActive` says so, if any does now.
    pub fn active_rm(&self) -> Result<Option<Server>> {
        self.first_active(&RESOURCE_MANAGERS)
    }

    /// Waits until a ResourceManager other than `than` is active.
    pub fn wait_active_rm_other_than(&self, than: Server) -> Result<Server> {
        wait::until(
            &format!("a ResourceManager other than {than} is active"),
            FAILOVER,
            || Ok(self.active_rm()?.filter(|active| *active != than)),
        )
    }

    /// Waits until a ResourceManager is active; with a NodeManager in the lab, until it has joined.
    pub fn wait_yarn_ready(&self) -> Result<Server> {
        let with_node = self.has(Server::Nm1);
        wait::until(
            "a ResourceManager is active and has its NodeManager",
            FAILOVER,
            || {
                self.fail_if_any_ended()?;
                let Some(active) = self.active_rm()? else {
                    return Ok(None);
                };
                let metrics = self
                    .gateway_get(active, "ws/v1/cluster/metrics")
                    .unwrap_or_default();
                let joined =
                    metrics.contains("\"activeNodes\"") && !metrics.contains("\"activeNodes\":0");
                Ok((joined || !with_node).then_some(active))
            },
        )
    }
}
