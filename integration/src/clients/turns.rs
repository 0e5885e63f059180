//! The outcome of one request of a load.
//!
//! A refusal by the gateway is counted by its reason word, so that a test can list the words it
//! allows.

use std::io::ErrorKind;

use crate::clients::{
    client::Client,
    load::{Load, Turn},
};

// === losses that can be allowed ===

/// No server is available; the refusal is sent immediately.
pub const AWAY: &str = "backend_down";
/// The request was in progress when its server died and may have been executed, so it is not sent
/// again unless its method is GET, HEAD, OPTIONS or TRACE.
pub const UNDER_WAY: &str = "backend_broken";
/// The query belongs to a coordinator that is down.
pub const OWNER_GONE: &str = "owner_gone";
/// The head of the response had been sent to the client when its server died, or froze for longer
/// than the gateway waits: the response cannot be restarted.
pub const CUT_SHORT: &str = "the answer had begun and was cut short";

/// The end of a refusal in plain text, before the console's name and the reason word.
const SIGNATURE: &str = "\nspnegate: ";

/// The message of curl for a truncated response.
const CURL_CUT: &str = "curl: (18)";

/// The reason word of the gateway's refusal, if `text` has one in plain text.
pub fn reason(text: &str) -> Option<&str> {
    let (_, signed) = text.split_once(SIGNATURE)?;
    signed.split_whitespace().nth(1)
}

/// The text before the status in the errors of drivers that show no body: Hive's, impyla's,
/// Presto's.
const STATUS: [&str; 3] = ["HTTP Response code: ", "HTTP code ", "statusCode="];

fn status(text: &str) -> Option<&str> {
    let rest = |marker| text.split_once(marker).map(|(_, rest)| rest);
    let status = STATUS.into_iter().find_map(rest)?.get(..3)?;
    status.bytes().all(|b| b.is_ascii_digit()).then_some(status)
}

/// The cause of a failure: the gateway's reason word if it is a refusal, else the status, else the
/// whole text.
pub(crate) fn failed(said: &str) -> Turn {
    let cut = || said.contains(CURL_CUT).then_some(CUT_SHORT);
    let known = reason(said).or_else(|| status(said)).or_else(cut);
    Turn::Failed(known.unwrap_or(said).to_owned())
}

impl Client {
    /// One repetition: a request that must be answered with 200 and these words.
    pub fn turn(&mut self, method: &str, path: &str, body: &[u8], words: &str) -> Turn {
        match self.request(method, path, body) {
            Ok(reply) if reply.status == 200 && reply.text().contains(words) => Turn::Done,
            Ok(reply) => failed(&format!(
                "{method} {path}: {} {}",
                reply.status,
                reply.text()
            )),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {
                Turn::Failed(CUT_SHORT.to_owned())
            }
            Err(error) => Turn::Failed(format!("{method} {path}: {error}")),
        }
    }
}

impl Load {
    /// Clients that read these pages one after the other, each with the words that it must contain.
    pub fn of_readers(
        clients: impl IntoIterator<Item = Client>,
        pages: &'static [(&'static str, &'static str)],
    ) -> Load {
        Load::start(clients.into_iter().map(|mut client| {
            let mut pages = pages.iter().cycle();
            move || match pages.next() {
                Some((path, words)) => client.turn("GET", path, b"", words),
                None => Turn::Over,
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_known_by_its_last_line() {
        let text = "No backend can be reached.\n\nspnegate: hive backend_down 7f\n";
        assert_eq!(reason(text), Some("backend_down"));
        assert_eq!(reason("spnegate: hive"), None);
        assert_eq!(reason("<html>backend_down</html>"), None);
    }

    #[test]
    fn drivers_tell_a_status() {
        let jdbc = "Could not open client transport: HTTP Response code: 503";
        let impyla = "HttpError HTTP code 502: Bad Gateway";
        let presto = "an invalid response: JsonResponse{statusCode=404, statusMessage=";
        assert_eq!(
            [jdbc, impyla, presto].map(status),
            [Some("503"), Some("502"), Some("404")]
        );
        assert_eq!(status("HTTP code é503"), None);
    }
}
