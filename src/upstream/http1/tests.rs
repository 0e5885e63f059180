use bytes::BytesMut;
use http::{HeaderValue, Method, Uri, header};
use proptest::prelude::*;

use super::*;

/// A response read from pieces: its status, headers as text, body, whether the connection is kept
/// alive, the bytes that are left; or the text of an error.
type Read = Result<(u16, String, Vec<u8>, bool, Vec<u8>), String>;

fn read(pieces: &[&[u8]], to_head: bool) -> Read {
    next(&mut Heads::default(), pieces, to_head)
}

fn next(heads: &mut Heads, pieces: &[&[u8]], to_head: bool) -> Read {
    let text = |fault: Http1Error| fault.to_string();
    let mut input = BytesMut::new();
    let mut pieces = pieces.iter();
    let mut head = loop {
        if let Some(head) = heads.take(&mut input, to_head).map_err(text)? {
            break head;
        }
        match pieces.next() {
            Some(piece) => input.extend_from_slice(piece),
            None => return Err("no head".into()),
        }
    };
    let mut body = Vec::new();
    while !head.decoder.has_ended() {
        if let Some(data) = head.decoder.decode(&mut input).map_err(text)? {
            assert!(!data.is_empty());
            body.extend_from_slice(&data);
        } else if !head.decoder.has_ended() {
            match pieces.next() {
                Some(piece) => input.extend_from_slice(piece),
                None => head.decoder.close().map_err(text)?,
            }
        }
    }
    for piece in pieces {
        input.extend_from_slice(piece);
    }
    let parts = head.parts;
    let headers = format!("{:?} {:?} {:?}", parts.version, head.reason, parts.headers);
    let keep = head.keep_alive;
    Ok((parts.status.as_u16(), headers, body, keep, input.to_vec()))
}

fn whole_to(answer: &[u8], to_head: bool) -> Read {
    read(&[answer], to_head)
}

fn whole(answer: &str) -> Read {
    read(&[answer.as_bytes()], false)
}

fn body_of(answer: &str) -> (String, bool) {
    let (_, _, body, keep_alive, _) = whole(answer).unwrap();
    (String::from_utf8(body).unwrap(), keep_alive)
}

#[test]
fn a_response_ends_where_its_head_says() {
    for (answer, body, keep_alive) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            "abc",
            true,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", true),
        ("HTTP/1.1 200 OK\r\n\r\nabc", "abc", false),
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n",
            "",
            true,
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n",
            "",
            true,
        ),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            "abc",
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 3\r\n\r\nabc",
            "abc",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 3\r\n\r\nabc",
            "abc",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n0\r\nx: y\r\n\r\n",
            "abc",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n0\r\n\r\n",
            "",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc",
            "abc",
            true,
        ),
        ("\r\nHTTP/1.1 200 OK\nContent-Length: 3\n\nabc", "abc", true),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\
             Content-Length: 3\r\n\r\nabc",
            "abc",
            true,
        ),
    ] {
        assert_eq!(body_of(answer), (body.to_owned(), keep_alive), "{answer}");
    }
    let to_head = read(&[b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"], true);
    assert_eq!(to_head.unwrap().2, b"");
}

#[test]
fn hop_by_hop_headers_are_not_forwarded() {
    let (_, headers, ..) = whole(
        "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\
         Content-Length: 4\r\nServer: x\r\n\r\n0\r\n\r\n",
    )
    .unwrap();
    assert_eq!(headers, r#"HTTP/1.1 b"OK" {"server": "x"}"#);
    let (status, headers, .., left) =
        whole("HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nfirst words").unwrap();
    assert_eq!(status, 101);
    assert!(headers.contains(r#""connection": "Upgrade""#), "{headers}");
    assert_eq!(left, b"first words");
}

#[test]
fn a_response_with_contradicting_framing_is_an_error() {
    for (answer, fault) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
            "Content-Length",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
            "Content-Length",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nabc",
            "Content-Length",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nabc",
            "Content-Length",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "Transfer-Encoding",
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "chunk size",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
            "chunk",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n11111111111111111\r\n",
            "chunk size",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
            "closed the connection",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "closed the connection",
        ),
        ("HTTP/1.1 200 OK\r\n folded\r\n\r\n", "not HTTP/1"),
        ("HTTP/2 200\r\n\r\n", "not HTTP/1"),
        ("\x16\x03\x01\x02", "not HTTP/1"),
    ] {
        let read = whole(answer).unwrap_err();
        assert!(read.contains(fault), "{answer}: {read}");
    }
}

#[test]
fn heads_and_trailers_have_limits() {
    let line = format!("x: {}\r\n", "y".repeat(1000));
    let head = format!("HTTP/1.1 200 OK\r\n{}", line.repeat(70));
    assert!(whole(&head).unwrap_err().contains("64 KiB"));
    let lines = "x: y\r\n".repeat(101);
    let many = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
    assert!(whole(&many).unwrap_err().contains("not HTTP/1"));
    let trailers = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}",
        line.repeat(70)
    );
    assert!(whole(&trailers).unwrap_err().contains("64 KiB"));
    let size = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;{}",
        "y".repeat(5000)
    );
    assert!(whole(&size).unwrap_err().contains("chunk size"));
}

fn head(method: &Method) -> RequestHead {
    let target: Uri = "/a?b=c".parse().unwrap();
    let mut head = RequestHead::new(method, &target);
    head.line(&header::HOST, &HeaderValue::from_static("nn1:50070"));
    head
}

#[test]
fn a_request_announces_the_length_of_its_body() {
    for (method, length, last) in [
        (Method::GET, Length::None, ""),
        (Method::DELETE, Length::None, ""),
        (Method::POST, Length::None, "content-length: 0\r\n"),
        (Method::PUT, Length::Known(7), "content-length: 7\r\n"),
        (
            Method::PUT,
            Length::Unknown,
            "transfer-encoding: chunked\r\n",
        ),
    ] {
        let written = head(&method).end(length);
        let written = String::from_utf8(written).unwrap();
        assert_eq!(
            written,
            format!("{method} /a?b=c HTTP/1.1\r\nhost: nn1:50070\r\n{last}\r\n")
        );
    }
    let mut smuggler = head(&Method::POST);
    smuggler.line(&header::CONTENT_LENGTH, &HeaderValue::from_static("9"));
    smuggler.line(
        &header::TRANSFER_ENCODING,
        &HeaderValue::from_static("chunked"),
    );
    let written = smuggler.end(Length::None);
    assert!(written.ends_with(b"\r\nhost: nn1:50070\r\ncontent-length: 0\r\n\r\n"));
    let values = [
        HeaderValue::from_static("a=b"),
        HeaderValue::from_static("c=d"),
    ];
    let mut two = head(&Method::GET);
    two.joined(&header::COOKIE, "; ", values.iter());
    two.joined(&header::VIA, ", ", values[..0].iter());
    assert!(
        two.end(Length::None)
            .ends_with(b"\r\ncookie: a=b; c=d\r\n\r\n")
    );
}

fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    let mut pieces = Vec::new();
    let mut from = 0;
    for to in cuts {
        pieces.push(&bytes[from..to]);
        from = to;
    }
    pieces.push(&bytes[from..]);
    pieces
}

/// Bytes that resemble a response.
fn answers() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        Just("Content-Length: 5".to_owned()),
        Just("Transfer-Encoding: chunked".to_owned()),
        Just("Connection: close".to_owned()),
        "[A-Za-z-]{1,12}: [ -~]{0,20}",
        "[ -~]{0,20}",
    ];
    let start = prop_oneof![
        9 => "HTTP/1\\.[01] (100|101|200|204|304|401|500) [ -~]{0,9}",
        1 => "[ -~]{0,20}",
    ];
    let body = prop_oneof![
        "([0-5]\r\n[a-z]{0,5}\r\n){0,4}0\r\n\r\n[a-z]{0,3}",
        "[ -~\r\n]{0,40}",
    ];
    let end = prop_oneof![9 => Just("\r\n"), 1 => Just("\n")];
    (start, prop::collection::vec(line, 0..4), body, end).prop_map(|(start, lines, body, end)| {
        let mut answer = start + end;
        for line in lines {
            answer += &line;
            answer += end;
        }
        (answer + end + &body).into_bytes()
    })
}

/// Blank lines before a head that had not arrived made the parser loop without end.
#[test]
fn blank_lines_before_a_head_are_skipped() {
    for blanks in ["\n\n", "\r\n\r\n", "\n\r\n\n", "\r"] {
        let pieces = [
            blanks,
            "HTTP/1.1 200",
            " OK\r\nContent-Length: 1\r\n",
            "\r\nx",
        ];
        let read = read(&pieces.map(str::as_bytes), false).unwrap();
        assert_eq!((read.0, &*read.2), (200, &b"x"[..]), "{blanks:?}");
    }
}

proptest! {
    #[test]
    fn a_response_does_not_depend_on_how_it_is_cut_into_pieces(
        answer in answers(),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
        to_head: bool,
    ) {
        // The error of a broken response may differ: a head is not parsed again before it may have
        // ended.
        let whole = read(&[&answer], to_head).map_err(drop);
        prop_assert_eq!(read(&cut(&answer, &cuts), to_head).map_err(drop), whole.clone());
        let single: Vec<_> = answer.chunks(1).collect();
        prop_assert_eq!(read(&single, to_head).map_err(drop), whole);
    }

    /// A head that is repeated is remembered, which must not change what it means.
    #[test]
    fn a_repeated_response_means_the_same_each_time(
        answers in prop::collection::vec(answers(), 1..3),
        order in prop::collection::vec((any::<prop::sample::Index>(), 1..6_usize, any::<bool>()), 1..6),
        cuts in prop::collection::vec(any::<usize>(), 0..3),
    ) {
        let mut heads = Heads::default();
        for (which, times, to_head) in order {
            let answer = which.get(&answers);
            let alone = whole_to(answer, to_head);
            for _ in 0..if alone.is_ok() { times } else { 0 } {
                let again = next(&mut heads, &cut(answer, &cuts), to_head);
                prop_assert_eq!(&again, &alone);
            }
        }
    }

    #[test]
    fn any_bytes_are_an_error_or_a_response(
        junk in prop::collection::vec(any::<u8>(), 0..200),
        to_head: bool,
    ) {
        let _ = read(&[&junk], to_head);
    }

    #[test]
    fn chunks_come_out_as_they_went_in(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..30), 0..8),
        cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in &chunks {
            answer.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            answer.extend_from_slice(chunk);
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"0\r\n\r\nnext");
        let (_, _, body, keep_alive, left) = read(&cut(&answer, &cuts), false).unwrap();
        prop_assert_eq!(body, chunks.concat());
        prop_assert!(keep_alive);
        prop_assert_eq!(left, b"next");
    }
}
