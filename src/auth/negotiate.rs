//! The grammar of `Authorization: Negotiate` (RFC 4559 section 4.2): from headers to a token.
//!
//! This runs after the look-up of the session cookie and before GSSAPI, so that bytes that are not a
//! token do not occupy an accept thread.

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, Method, Request, Version, header};

use crate::{
    gss::peek::{Peek, peek},
    refusal::Refusal,
};

/// The largest token, decoded, in bytes.
///
/// A ticket with 1,500 Active Directory groups and a forwarded TGT takes about 27 KB.
pub(crate) const MAX_TOKEN: usize = 48 * 1024;

/// Standard alphabet; padding may be missing, as some clients send it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads the token of a request; `None` if it has no Negotiate credentials.
///
/// Other schemes (`Basic`, `Bearer`) count as none: the client gets the ordinary challenge. Hive's form
/// `Negotiate : <token>` is accepted.
///
/// # Errors
///
/// [`Refusal::DuplicateAuthorization`], [`Refusal::BadAuthorization`] (junk, no token),
/// [`Refusal::TokenTooLarge`], [`Refusal::Ntlm`] (raw NTLM, under `Negotiate` or `NTLM`).
pub fn token(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    // With two it is ambiguous which one counts: RFC 9110 section 5.3 allows a repeated field for lists
    // only.
    if values.next().is_some() {
        return Err(Refusal::DuplicateAuthorization);
    }
    let value = value.as_bytes().trim_ascii();
    let end = value
        .iter()
        .position(|b| b" \t:".contains(b))
        .unwrap_or(value.len());
    let (scheme, rest) = value.split_at(end);
    if scheme.eq_ignore_ascii_case(b"NTLM") {
        return Err(Refusal::Ntlm);
    }
    if !scheme.eq_ignore_ascii_case(b"Negotiate") {
        return Ok(None);
    }
    let rest = rest.trim_ascii_start();
    let encoded = rest.strip_prefix(b":").unwrap_or(rest).trim_ascii_start();
    if encoded.is_empty() {
        return Err(Refusal::BadAuthorization);
    }
    // Before decoding, so that an oversized header costs no allocation.
    if encoded.len() > MAX_TOKEN.div_ceil(3) * 4 {
        return Err(Refusal::TokenTooLarge);
    }
    let token = BASE64
        .decode(encoded)
        .map_err(|_| Refusal::BadAuthorization)?;
    if token.len() > MAX_TOKEN {
        return Err(Refusal::TokenTooLarge);
    }
    if token.starts_with(b"NTLMSSP\0") {
        return Err(Refusal::Ntlm);
    }
    if token.is_empty() {
        return Err(Refusal::BadAuthorization);
    }
    Ok(Some(token))
}

/// Whether a token begins a login (an `InitialContextToken`, RFC 2743 section 3.1), in contrast to one
/// that continues a login (SPNEGO's `NegTokenResp`, RFC 4178 section 4.2.2).
pub(super) fn is_initial(token: &[u8]) -> bool {
    token.first() != Some(&0xa1)
}

/// The credentials of a request that has a session cookie too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credential {
    /// A token that completes a login by itself, which clients repeat beside their cookie, or no token.
    Complete,
    /// The first token of a login that needs further ones, or bytes that are not a token.
    FirstToken,
    /// A later token of a login.
    LaterToken,
}

/// Classifies the credentials of a request that has a session cookie.
pub(super) fn classify(headers: &HeaderMap) -> Credential {
    match token(headers) {
        Ok(None) => Credential::Complete,
        Ok(Some(token)) => match peek(&token) {
            Peek::Ticket(_) => Credential::Complete,
            Peek::LaterToken(_) => Credential::LaterToken,
            Peek::KerberosLater
            | Peek::Ntlm
            | Peek::NoKerberos
            | Peek::KrbError(_)
            | Peek::ApRep
            | Peek::NoTicket
            | Peek::Unreadable => Credential::FirstToken,
        },
        Err(Refusal::Ntlm | Refusal::BadAuthorization) => Credential::FirstToken,
        // Too large or duplicate: no client begins a login in this way, so the session is used.
        Err(_) => Credential::Complete,
    }
}

/// Whether a request with a writing method has no body.
///
/// A client that knows that its token is not the last one of the login keeps its body for the next
/// request and sends this one with `Content-Length: 0`: `WinINet` (Edge's IE mode) and curl, which
/// calls it a "server probe".
pub(super) fn is_empty_write<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    let zero = |length: &http::HeaderValue| length.as_bytes().iter().all(|digit| *digit == b'0');
    match *request.method() {
        Method::GET | Method::HEAD | Method::OPTIONS => false,
        _ => match headers.get(header::CONTENT_LENGTH) {
            Some(length) => zero(length),
            // HTTP/2 marks the end of a body without a header, so a missing length says nothing there.
            None => {
                matches!(
                    *request.method(),
                    Method::POST | Method::PUT | Method::PATCH
                ) && request.version() <= Version::HTTP_11
                    && !headers.contains_key(header::TRANSFER_ENCODING)
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(values: &[&[u8]]) -> Result<Option<Vec<u8>>, Refusal> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value).unwrap();
            headers.append(header::AUTHORIZATION, value);
        }
        token(&headers)
    }

    #[test]
    fn the_spellings_that_clients_use_are_read() {
        for value in [
            "Negotiate YWJjZA==",
            "negotiate YWJjZA==",
            "NEGOTIATE  YWJjZA",
            "Negotiate : YWJjZA==",
            "Negotiate: YWJjZA==",
            "Negotiate\tYWJjZA== ",
        ] {
            assert_eq!(
                read(&[value.as_bytes()]),
                Ok(Some(b"abcd".to_vec())),
                "{value}"
            );
        }
    }

    #[test]
    fn other_schemes_count_as_no_credentials() {
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[b"Basic YTpi"]), Ok(None));
        assert_eq!(read(&[b"Bearer x"]), Ok(None));
        assert_eq!(read(&[b"Negotiated YWJj"]), Ok(None));
        assert_eq!(read(&[b""]), Ok(None));
    }

    #[test]
    fn junk_is_refused() {
        for value in [
            &b"Negotiate"[..],
            b"Negotiate ",
            b"Negotiate :",
            b"Negotiate ===",
            b"Negotiate YW Jj",
            b"Negotiate YWJj, Basic x",
            b"Negotiate YWJ-",
            b"Negotiate \xff\xfe",
        ] {
            assert_eq!(read(&[value]), Err(Refusal::BadAuthorization), "{value:?}");
        }
    }

    #[test]
    fn two_headers_are_refused_with_any_content() {
        let refused = Err(Refusal::DuplicateAuthorization);
        assert_eq!(read(&[b"Negotiate YWJj", b"Basic x"]), refused);
        assert_eq!(read(&[b"Basic x", b"Basic x"]), refused);
    }

    #[test]
    fn raw_ntlm_is_recognised() {
        assert_eq!(
            read(&[b"Negotiate TlRMTVNTUAABAAAAl4II4gAAAAA="]),
            Err(Refusal::Ntlm)
        );
        assert_eq!(read(&[b"NTLM TlRMTVNTUAABAAAA"]), Err(Refusal::Ntlm));
    }

    #[test]
    fn a_write_is_empty_with_a_zero_length_or_without_one() {
        let empty = |method: Method, lines: &[(&str, &str)], version| {
            let mut request = Request::builder().method(method).version(version);
            for (name, value) in lines {
                request = request.header(*name, *value);
            }
            is_empty_write(&request.body(()).unwrap())
        };
        let (old, new) = (Version::HTTP_11, Version::HTTP_2);
        for method in [Method::POST, Method::PUT, Method::PATCH] {
            assert!(empty(method.clone(), &[("content-length", "0")], old));
            assert!(empty(method.clone(), &[("content-length", "0")], new));
            assert!(empty(method.clone(), &[], old));
            assert!(!empty(method.clone(), &[], new));
            assert!(!empty(method.clone(), &[("content-length", "10")], old));
            assert!(!empty(method, &[("transfer-encoding", "chunked")], old));
        }
        assert!(empty(Method::DELETE, &[("content-length", "0")], old));
        assert!(!empty(Method::DELETE, &[], old));
        assert!(!empty(Method::GET, &[("content-length", "0")], old));
    }

    #[test]
    fn a_complete_login_is_distinguished_from_one_of_several_tokens() {
        let classify = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            super::classify(&headers)
        };
        assert_eq!(super::classify(&HeaderMap::new()), Credential::Complete);
        assert_eq!(classify("Basic YTpi"), Credential::Complete);
        assert_eq!(classify("Negotiate oQA="), Credential::LaterToken);
        for first in [
            "NTLM TlRMTVNTUAABAAAA",
            "Negotiate TlRMTVNTUAABAAAA",
            // An InitialContextToken of NegoEx, and a list of mechanisms that has only NegoEx.
            "Negotiate YBIGCisGAQQBgjcCAh4ATkVHT0VYVA==",
            "Negotiate YBwGBisGAQUFAqASMBCgDjAMBgorBgEEAYI3AgIe",
            "Negotiate",
            "Negotiate YWJj",
        ] {
            assert_eq!(classify(first), Credential::FirstToken, "{first}");
        }
    }

    #[test]
    fn the_size_limit_applies_to_the_decoded_token() {
        let value = |len: usize| format!("Negotiate {}", BASE64_STANDARD.encode(vec![0x60; len]));
        assert!(read(&[value(MAX_TOKEN).as_bytes()]).is_ok_and(|t| t.is_some()));
        for len in [MAX_TOKEN + 1, MAX_TOKEN + 2, MAX_TOKEN * 2] {
            assert_eq!(read(&[value(len).as_bytes()]), Err(Refusal::TokenTooLarge));
        }
    }

    proptest! {
        #[test]
        fn every_token_is_read_back(
            bytes in prop::collection::vec(any::<u8>(), 1..200),
            padded: bool, hive: bool, upper: bool,
        ) {
            prop_assume!(!bytes.starts_with(b"NTLMSSP\0"));
            let encoded = BASE64_STANDARD.encode(&bytes);
            let encoded = if padded { &encoded } else { encoded.trim_end_matches('=') };
            let scheme = if upper { "NEGOTIATE" } else { "Negotiate" };
            let value = format!("{scheme} {}{encoded}", if hive { ": " } else { "" });
            prop_assert_eq!(read(&[value.as_bytes()]), Ok(Some(bytes)));
        }

        #[test]
        fn any_bytes_are_read_or_refused(value in prop::collection::vec(0x20_u8..=0xff, 0..80)) {
            prop_assume!(!value.contains(&0x7f));
            let _ = read(&[&value]);
            let negotiate = [b"Negotiate ", &value[..]].concat();
            let _ = read(&[&negotiate]);
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_bytes(&negotiate).unwrap());
            let _ = classify(&headers);
        }
    }
}
