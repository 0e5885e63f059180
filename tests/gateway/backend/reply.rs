//! Responses of a backend.

/// What a backend does after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterResponse {
    Keep,
    Close,
    /// Sends nothing more until the test releases it, then closes the connection.
    Hang,
    /// Sends the last chunk a millisecond later.
    End,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    reason: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    raw: Option<Vec<u8>>,
    pub(super) then: AfterResponse,
}

/// A response with this status.
pub fn reply(status: u16) -> Reply {
    let reason = match status {
        200 => "OK",
        201 => "Created",
        302 => "Found",
        307 => "Temporary Redirect",
        401 => "Authentication required",
        403 => "Forbidden",
        _ => "Whatever",
    };
    Reply {
        status,
        reason: reason.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        raw: None,
        then: AfterResponse::Keep,
    }
}

/// A response of exactly these bytes.
pub fn raw(bytes: &[u8]) -> Reply {
    Reply {
        raw: Some(bytes.to_vec()),
        ..reply(200)
    }
}

/// No response until the test ends.
pub fn silence() -> Reply {
    raw(b"").then(AfterResponse::Hang)
}

/// `StandbyException` in the form of WebHDFS.
pub fn standby_exception() -> Reply {
    let message = "Operation category READ is not supported in state standby";
    remote_exception("StandbyException", message)
}

/// An exception in the form of Hadoop's servers (`RemoteException`).
pub fn remote_exception(exception: &str, message: &str) -> Reply {
    let text = format!(
        r#"{{"RemoteException":{{"exception":"{exception}","javaClassName":"org.apache.hadoop.ipc.{exception}","message":"{message}"}}}}"#
    );
    reply(403)
        .with("Content-Type", "application/json")
        .body(text)
}

impl Reply {
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn reason(mut self, reason: &str) -> Self {
        reason.clone_into(&mut self.reason);
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    pub fn then(mut self, then: AfterResponse) -> Self {
        self.then = then;
        self
    }

    pub(super) fn bytes(&self, extra: &[(String, String)], head: bool) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let mut text = format!("HTTP/1.1 {} {}\r\n", self.status, self.reason);
        for (name, value) in self.headers.iter().chain(extra) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        let mut bytes = text.into_bytes();
        if !head {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}
