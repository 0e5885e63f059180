//! What has been written to the client, and what hyper still has to write.

use std::cell::Cell;

#[derive(Debug)]
pub(super) struct Output {
    /// hyper holds a part of a response of the service that is not written.
    pending: Cell<bool>,
    /// hyper's own response to malformed bytes was not written.
    withheld: Cell<bool>,
    wrote: Cell<bool>,
    flushed: Cell<bool>,
}

impl Default for Output {
    fn default() -> Self {
        Self {
            pending: Cell::new(false),
            withheld: Cell::new(false),
            wrote: Cell::new(false),
            flushed: Cell::new(true),
        }
    }
}

impl Output {
    pub(super) fn response_pending(&self) {
        self.pending.set(true);
    }

    /// Withholds the bytes, unless they may hold a part of a pending response.
    pub(super) fn withhold_unless_pending(&self) -> bool {
        let withhold = !self.pending.get();
        if withhold {
            self.withheld.set(true);
        }
        withhold
    }

    pub(super) fn bytes_written(&self) {
        self.wrote.set(true);
    }

    pub(super) fn unflushed(&self) {
        self.flushed.set(false);
    }

    pub(super) fn flushed(&self) {
        self.flushed.set(true);
        self.pending.set(false);
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.flushed.get()
    }

    pub(super) fn is_unanswered(&self) -> bool {
        self.withheld.get() || !self.wrote.get()
    }
}
