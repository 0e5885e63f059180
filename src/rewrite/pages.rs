//! Rewrites the links in pages: YARN's servers write each other's full addresses into their HTML, and
//! into the scripts in it (`"<a href='http://rm1…/proxy/…'>History</a>"`).
//!
//! On the request path: while the body of such a page is streamed. Everything between two quotes that is an
//! address as a whole (`http://…`, `https://…`, `//…`) is passed to a [`LinkMapper`]. Everything else
//! passes unchanged.
//!
//! The HTML is not parsed: half of the links are inside scripts, where a parser does not see them, and the
//! address of a server that the gateway publishes means that server in any position.

use std::{collections::VecDeque, fmt};

use bytes::{Bytes, BytesMut};

use super::Rewriter;

/// The longest address that is rewritten; a longer one passes unchanged.
const LONGEST: usize = 2048;
/// How addresses begin.
const STARTS: [&[u8]; 3] = [b"http://", b"https://", b"//"];

/// Returns the replacement for an address, or `None` to keep it.
pub(crate) type LinkMapper = Box<dyn Fn(&str) -> Option<String> + Send>;

/// Rewrites one page, piece by piece.
pub struct Pages {
    mapper: LinkMapper,
    /// The text after the last quote, while it may be an address.
    held: Option<BytesMut>,
    out: VecDeque<Bytes>,
}

impl Pages {
    /// Addresses are replaced by `mapper`.
    pub fn new(mapper: LinkMapper) -> Self {
        Self {
            mapper,
            held: None,
            out: VecDeque::new(),
        }
    }

    /// Reads the text after a quote; returns the end. `held` is its start in earlier pieces.
    fn read_quoted(&mut self, held: &mut BytesMut, piece: &Bytes, from: usize) -> usize {
        let mut at = from;
        while at < piece.len() {
            let byte = piece[at];
            let ends = matches!(byte, b'"' | b'\'');
            let known = held.len() + (at - from);
            if ends || !may_be_address(held, &piece[from..at], byte) || known == LONGEST {
                held.extend_from_slice(&piece[from..at]);
                let text = std::mem::take(held);
                let replacement = ends.then(|| self.map(&text)).flatten();
                match replacement {
                    Some(replacement) => self.out.push_back(replacement),
                    None => self.release(text),
                }
                return at;
            }
            at += 1;
        }
        held.extend_from_slice(&piece[from..]);
        self.held = Some(std::mem::take(held));
        at
    }

    fn map(&self, text: &[u8]) -> Option<Bytes> {
        let address = std::str::from_utf8(text).ok()?;
        let replacement = (self.mapper)(address)?;
        // the quotes around it may be of either kind, and a replacement must not end them
        let plain = replacement
            .bytes()
            .all(|b| !matches!(b, b'"' | b'\'' | b'<' | b'>'));
        plain.then(|| Bytes::from(replacement))
    }

    fn release(&mut self, held: BytesMut) {
        if !held.is_empty() {
            self.out.push_back(held.freeze());
        }
    }
}

impl Rewriter for Pages {
    fn feed(&mut self, piece: &Bytes) {
        let mut at = 0;
        while at < piece.len() {
            if let Some(mut held) = self.held.take() {
                at = self.read_quoted(&mut held, piece, at);
                continue;
            }
            let quote = memchr::memchr2(b'"', b'\'', &piece[at..]);
            let end = quote.map_or(piece.len(), |step| at + step + 1);
            self.out.push_back(piece.slice(at..end));
            at = end;
            if quote.is_some() {
                self.held = Some(BytesMut::new());
            }
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        self.out.pop_front()
    }

    fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    fn finish(&mut self) {
        if let Some(held) = self.held.take() {
            self.release(held);
        }
    }
}

/// Whether these bytes, followed by `byte`, can be the beginning of an address.
fn may_be_address(held: &[u8], more: &[u8], byte: u8) -> bool {
    let known = held.len() + more.len();
    let nth = |at: usize| held.get(at).or_else(|| more.get(at - held.len()));
    let begins = STARTS.iter().any(|start| {
        let same = |at: usize| nth(at).is_some_and(|b| b.eq_ignore_ascii_case(&start[at]));
        (0..start.len().min(known)).all(same)
            && start
                .get(known)
                .is_none_or(|b| byte.eq_ignore_ascii_case(b))
    });
    begins && !matches!(byte, 0..=b' ' | b'<' | b'>' | b'\\' | b'`')
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rewritten page, fed in pieces of this size.
    fn rewritten(page: &str, size: usize) -> String {
        let mut pages = Pages::new(Box::new(|address| {
            let rest = address.split_once("//rm1:8088")?.1;
            Some(format!("https://gw{rest}"))
        }));
        let mut out = Vec::new();
        let mut pop = |pages: &mut Pages| {
            while let Some(piece) = pages.pop() {
                out.extend_from_slice(&piece);
            }
        };
        for piece in page.as_bytes().chunks(size.max(1)) {
            pages.feed(&Bytes::copy_from_slice(piece));
            pop(&mut pages);
        }
        pages.finish();
        pop(&mut pages);
        assert!(pages.is_empty());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn addresses_between_quotes_are_rewritten_in_any_position() {
        for (page, wanted) in [
            (
                r#"<a href="http://rm1:8088/proxy/application_1/">History</a>"#,
                r#"<a href="https://gw/proxy/application_1/">History</a>"#,
            ),
            (
                r#"["<a href='http://rm1:8088/x'>History</a>","0"]"#,
                r#"["<a href='https://gw/x'>History</a>","0"]"#,
            ),
            ("<a href='//rm1:8088'>", "<a href='https://gw'>"),
            ("'HTTP://rm1:8088/a&amp;b'", "'https://gw/a&amp;b'"),
            ("''http://rm1:8088/'", "''https://gw/'"),
        ] {
            for size in 1..=page.len() {
                assert_eq!(rewritten(page, size), wanted, "{size}");
            }
        }
    }

    #[test]
    fn everything_else_stays() {
        for page in [
            "http://rm1:8088/ and <p>http://rm1:8088</p>",
            "<a href='http://nm1:8042/'>",
            "'see http://rm1:8088/'",
            "'http://rm1:8088/ and more'",
            "'http:/rm1:8088/'",
            "'http://rm1:8088/",
            "'",
            "var a = '// rm1:8088'; // it's",
            r"'http:\/\/rm1:8088\/'",
        ] {
            for size in 1..=page.len() {
                assert_eq!(rewritten(page, size), page, "{size}");
            }
        }
        let long = format!("'http://rm1:8088/{}'", "x".repeat(LONGEST));
        assert_eq!(rewritten(&long, 100), long);
    }

    #[test]
    fn a_replacement_that_would_end_the_quotes_is_not_used() {
        let mut pages = Pages::new(Box::new(|_| Some("//gw/'><script>".to_owned())));
        pages.feed(&Bytes::from_static(b"'http://rm1:8088/'"));
        let mut out = Vec::new();
        while let Some(piece) = pages.pop() {
            out.extend_from_slice(&piece);
        }
        assert_eq!(out, b"'http://rm1:8088/'");
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_the_pieces(page in "['\"htp:/s rm1:8088<>]{0,60}", size in 1_usize..9) {
            prop_assert_eq!(rewritten(&page, size), rewritten(&page, page.len()));
        }

        #[test]
        fn any_other_page_passes_unchanged(page in ".*", size in 1_usize..9) {
            prop_assume!(!page.contains("//rm1"));
            prop_assert_eq!(rewritten(&page, size), page);
        }
    }
}
