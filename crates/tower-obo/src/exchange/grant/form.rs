//! The body of a token request.

use zeroize::Zeroizing;

/// A token request body in the making (RFC 6749, appendix B). It holds secrets and is wiped when it is
/// dropped.
#[derive(Default)]
pub(in crate::exchange) struct Form(Zeroizing<String>);

impl Form {
    pub(in crate::exchange) fn push(&mut self, name: &str, value: &str) {
        // Every byte may take three.
        self.make_room(name.len() + 2 + 3 * value.len());
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(name);
        self.0.push('=');
        encode(value, &mut self.0);
    }

    /// Room for so many bytes more. What a `String` outgrows by itself is not wiped.
    fn make_room(&mut self, more: usize) {
        let length = self.0.len() + more;
        if length > self.0.capacity() {
            let mut larger = Zeroizing::new(String::with_capacity(2 * length));
            larger.push_str(&self.0);
            self.0 = larger;
        }
    }

    pub(in crate::exchange) fn into_body(self) -> Zeroizing<String> {
        self.0
    }
}

/// Adds a value alone. What stands for itself is added in runs: of a token that is all of it.
pub(in crate::exchange) fn encode(value: &str, into: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut begin = 0;
    for (at, byte) in value.bytes().enumerate() {
        if IS_PLAIN[usize::from(byte)] {
            continue;
        }
        // Empty inside of a character of several bytes, none of which is plain.
        into.push_str(value.get(begin..at).unwrap_or_default());
        begin = at + 1;
        if byte == b' ' {
            into.push('+');
        } else {
            into.push('%');
            into.push(char::from(HEX[usize::from(byte >> 4)]));
            into.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    into.push_str(value.get(begin..).unwrap_or_default());
}

static IS_PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'*');
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_encoded_so_that_no_value_becomes_a_parameter() {
        let mut form = Form::default();
        form.push("a", "x&b=y z");
        form.push("c", "ä~");
        form.push("d", "é€a\u{1f600}b-._*+");
        form.push("e", "");
        let wanted = "a=x%26b%3Dy+z&c=%C3%A4%7E&d=%C3%A9%E2%82%ACa%F0%9F%98%80b-._*%2B&e=";
        assert_eq!(*form.into_body(), wanted);
    }

    #[test]
    fn a_form_has_room_for_each_value_before_it_is_written() {
        let mut form = Form::default();
        for length in [0, 1, 100, 5_000, 70_000] {
            let value = "\u{fc}".repeat(length);
            form.make_room(3 + 3 * value.len());
            let place = form.0.as_ptr();
            form.push("v", &value);
            assert_eq!(form.0.as_ptr(), place, "it has moved: {length}");
        }
    }
}
