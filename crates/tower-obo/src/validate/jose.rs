//! The JOSE header and the compact form of a JWS (RFC 7515).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    TokenDefect,
    json::{Json, read_object},
};
use crate::keys::Algorithm;

/// A key id longer than this is no key id of anybody's.
const MAX_KID: usize = 256;

/// A token taken apart; nothing of it is trusted yet.
pub(crate) struct Jws<'a> {
    /// What was signed: the first two parts with the dot between them.
    pub(crate) signing_input: &'a [u8],
    pub(crate) header: Header,
    pub(crate) payload: &'a str,
    pub(crate) signature: &'a str,
}

/// The header parameters that matter. `jku`, `jwk`, `x5u` and `x5c` are never looked at: a
/// token cannot bring its own key (RFC 8725 §3.10).
pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Box<str>,
    /// Whether `typ` is that of access tokens (RFC 9068 §2.1), and not that of any token.
    pub(crate) says_access_token: bool,
}

impl<'a> Jws<'a> {
    /// Takes a compact JWS apart and reads its header; the other parts stay encoded, so that what
    /// the header already rules out costs nothing more.
    pub(crate) fn parse(token: &'a str) -> Result<Self, TokenDefect> {
        let Parts {
            message,
            header,
            payload,
            signature,
        } = Parts::of(token)?;
        let header = Header::parse(&decode(header)?)?;
        if signature.is_empty() {
            return Err(TokenDefect::Form);
        }
        Ok(Self {
            signing_input: message.as_bytes(),
            header,
            payload,
            signature,
        })
    }
}

/// The parts of what has the form of a compact JWS.
pub(crate) struct Parts<'a> {
    /// The first two, with the dot between them.
    message: &'a str,
    header: &'a str,
    payload: &'a str,
    signature: &'a str,
}

impl<'a> Parts<'a> {
    /// An empty payload has the form: a JWS may sign nothing at all (RFC 7515 §5.2). It holds no claims,
    /// so that no token goes through with it.
    ///
    /// # Errors
    ///
    /// The parts are not three, or the first is empty.
    pub(crate) fn of(token: &'a str) -> Result<Self, TokenDefect> {
        let mut dots = token.match_indices('.').map(|(at, _)| at);
        let (Some(first), Some(second)) = (dots.next(), dots.next()) else {
            return Err(TokenDefect::Form);
        };
        // Five parts make a JWE; a token of nothing but dots is not worth counting them.
        match dots.take(3).count() {
            0 => {}
            2 => return Err(TokenDefect::Encrypted),
            _ => return Err(TokenDefect::Form),
        }
        let parts = Self {
            message: &token[..second],
            header: &token[..first],
            payload: &token[first + 1..second],
            signature: &token[second + 1..],
        };
        if parts.header.is_empty() {
            return Err(TokenDefect::Form);
        }
        Ok(parts)
    }
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, TokenDefect> {
        let (mut algorithm, mut kid, mut says_access_token) = (None, None, false);
        read_object(bytes, |name, value| match (name, value) {
            ("alg", value) => {
                let Json::Text(name) = value.take()? else {
                    return Err(TokenDefect::Algorithm);
                };
                algorithm = Some(Algorithm::from_name(&name).ok_or(TokenDefect::Algorithm)?);
                Ok(())
            }
            ("kid", value) => match value.take()? {
                Json::Text(id) if !id.is_empty() && id.len() <= MAX_KID => {
                    kid = Some(id.into());
                    Ok(())
                }
                _ => Err(TokenDefect::KeyId),
            },
            ("typ", value) => match value.take()? {
                Json::Text(kind) if is_accepted_type(&kind) => {
                    says_access_token = !kind.eq_ignore_ascii_case("JWT");
                    Ok(())
                }
                _ => Err(TokenDefect::Type),
            },
            // No extension is understood here, and an empty list is not allowed either.
            ("crit" | "b64", _) => Err(TokenDefect::Critical),
            ("zip", _) => Err(TokenDefect::Type),
            (_, value) => value.skip(),
        })?;
        Ok(Self {
            algorithm: algorithm.ok_or(TokenDefect::Algorithm)?,
            kid: kid.ok_or(TokenDefect::KeyId)?,
            says_access_token,
        })
    }
}

/// Decodes base64url strictly: no padding, no white space, no bits left over in the last character
/// (a second spelling of one token would be a second entry in a cache).
pub(crate) fn decode(part: &str) -> Result<Vec<u8>, TokenDefect> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| TokenDefect::Encoding)
}

/// An access token may leave `typ` out, or say what RFC 9068 §2.1 and RFC 7519 §5.1 have.
fn is_accepted_type(kind: &str) -> bool {
    ["JWT", "at+jwt", "application/at+jwt"]
        .iter()
        .any(|accepted| accepted.eq_ignore_ascii_case(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defect(header: &str) -> Option<TokenDefect> {
        let token = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header));
        Jws::parse(&token).err()
    }

    #[test]
    fn a_good_header_is_read() {
        for typ in [r#","typ":"JWT""#, r#","typ":"At+Jwt""#, ""] {
            let header = format!(r#"{{"alg":"RS256","kid":"k","x5t":"t"{typ}}}"#);
            assert_eq!(defect(&header), None, "{header}");
        }
    }

    #[test]
    fn only_the_type_of_access_tokens_says_that_it_is_one() {
        for (typ, expected) in [
            ("", false),
            (r#","typ":"JWT""#, false),
            (r#","typ":"jwt""#, false),
            (r#","typ":"at+jwt""#, true),
            (r#","typ":"application/AT+JWT""#, true),
        ] {
            let header = format!(r#"{{"alg":"RS256","kid":"k"{typ}}}"#);
            let token = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(&header));
            let says_so = Jws::parse(&token).map(|jws| jws.header.says_access_token);
            assert_eq!(says_so, Ok(expected), "{header}");
        }
    }

    #[test]
    fn headers_are_refused_for_the_right_reason() {
        use TokenDefect as D;
        for (header, expected) in [
            (r#"{"kid":"k"}"#, D::Algorithm),
            (r#"{"alg":"none","kid":"k"}"#, D::Algorithm),
            (r#"{"alg":"HS256","kid":"k"}"#, D::Algorithm),
            (r#"{"alg":"rs256","kid":"k"}"#, D::Algorithm),
            (r#"{"alg":5,"kid":"k"}"#, D::Algorithm),
            (r#"{"alg":"RS256"}"#, D::KeyId),
            (r#"{"alg":"RS256","kid":7}"#, D::KeyId),
            (r#"{"alg":"RS256","kid":""}"#, D::KeyId),
            (r#"{"alg":"RS256","kid":"k","crit":[]}"#, D::Critical),
            (r#"{"alg":"RS256","kid":"k","b64":false}"#, D::Critical),
            (r#"{"alg":"RS256","kid":"k","zip":"DEF"}"#, D::Type),
            (r#"{"alg":"RS256","kid":"k","typ":"dpop+jwt"}"#, D::Type),
            (r#"{"alg":"RS256","kid":"k","typ":1}"#, D::Type),
            (r#"["RS256"]"#, D::Json),
        ] {
            assert_eq!(defect(header), Some(expected), "{header}");
        }
    }

    #[test]
    fn only_three_parts_are_a_jws() {
        use TokenDefect as D;
        for (token, expected) in [
            ("a", D::Form),
            ("a.b", D::Form),
            ("a.b.c.d", D::Form),
            ("a.b.c.d.e", D::Encrypted),
            (".b.c", D::Form),
            ("..c", D::Form),
        ] {
            assert_eq!(Jws::parse(token).err(), Some(expected), "{token}");
        }
    }

    #[test]
    fn a_payload_may_be_empty_and_a_signature_may_not() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"k"}"#);
        let token = format!("{header}..AA");
        let jws = Jws::parse(&token).map(|jws| (jws.signing_input.to_owned(), jws.payload));
        assert_eq!(jws.unwrap(), (format!("{header}.").into_bytes(), ""));
        let token = format!("{header}.e30.");
        assert_eq!(Jws::parse(&token).err(), Some(TokenDefect::Form));
    }

    #[test]
    fn base64_has_one_spelling() {
        for part in ["AA==", "A+/A", "A A", "AB", "A"] {
            assert_eq!(decode(part), Err(TokenDefect::Encoding), "{part}");
        }
        assert_eq!(decode("AA").unwrap(), [0]);
    }
}
