//! JSON made readable.

/// Breaks lines and indents; every byte that is not white space between tokens stays as it is, order
/// of members and spelling of numbers included. Text that is not JSON comes back unharmed.
pub(crate) fn indent(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                text.push(c);
                while let Some(c) = chars.next() {
                    text.push(c);
                    match c {
                        '"' => break,
                        '\\' => text.extend(chars.next()),
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                text.push(c);
                while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                if let Some(close) = chars.next_if(|c| matches!(c, '}' | ']')) {
                    text.push(close);
                } else {
                    depth += 1;
                    new_line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut text, depth);
                text.push(c);
            }
            ',' => {
                text.push(c);
                new_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => text.push(c),
        }
    }
    text
}

fn new_line(text: &mut String, depth: usize) {
    /// Deeper than this nothing is shifted further: the text must not grow with the square of itself.
    const DEEPEST: usize = 16;

    text.push('\n');
    for _ in 0..depth.min(DEEPEST) {
        text.push_str("  ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_between_tokens_changes() {
        assert_eq!(
            indent(r#"{"b":[1.50, {} ,[ ]],"a" : "x, \"{y}\\" }"#),
            "{\n  \"b\": [\n    1.50,\n    {},\n    []\n  ],\n  \"a\": \"x, \\\"{y}\\\\\"\n}"
        );
    }

    #[test]
    fn nonsense_is_survived() {
        assert_eq!(indent("}]\"\\"), "\n}\n]\"\\");
        assert!(indent(&"[".repeat(10_000)).len() < 400_000);
    }
}
