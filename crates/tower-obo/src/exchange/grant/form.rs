//! The body of a token request.

/// A token request body in the making (RFC 6749, appendix B).
#[derive(Default)]
pub(in crate::exchange) struct Form(String);

impl Form {
    pub(in crate::exchange) fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        for byte in value.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                    self.0.push(char::from(byte));
                }
                b' ' => self.0.push('+'),
                _ => {
                    const HEX: &[u8; 16] = b"0123456789ABCDEF";
                    self.0.push('%');
                    self.0.push(char::from(HEX[usize::from(byte >> 4)]));
                    self.0.push(char::from(HEX[usize::from(byte & 15)]));
                }
            }
        }
    }

    pub(in crate::exchange) fn into_body(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_encoded_so_that_no_value_becomes_a_parameter() {
        let mut form = Form::default();
        form.push("a", "x&b=y z");
        form.push("c", "ä~");
        assert_eq!(form.into_body(), "a=x%26b%3Dy+z&c=%C3%A4%7E");
    }
}
