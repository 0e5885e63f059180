//! Requests that a backend received.

/// One request, unmodified.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Number of the connection, counted per backend.
    pub connection: usize,
    /// Head and body, framing included.
    pub raw: Vec<u8>,
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut all = self
            .headers
            .iter()
            .filter(|(n, _)| n.eq_ignore_ascii_case(name));
        let first = all.next().map(|(_, value)| value.as_str());
        assert!(all.next().is_none(), "{name} came twice: {self:?}");
        first
    }

    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// The value of the only `doAs` as the backend parses it; other spellings count too.
    pub fn do_as(&self) -> Option<&str> {
        let mut found = self.query().split('&').filter_map(|piece| {
            let (name, value) = piece.split_once('=')?;
            name.eq_ignore_ascii_case("doas").then_some(value)
        });
        let first = found.next();
        assert_eq!(found.next(), None, "two doAs: {}", self.target);
        first
    }

    /// Whether this is a client's request; the gateway's own requests carry no request id.
    pub(super) fn is_clients(&self) -> bool {
        self.headers.iter().any(|(name, _)| name == "x-request-id")
    }

    pub fn raw_text(&self) -> String {
        String::from_utf8_lossy(&self.raw).into_owned()
    }
}
