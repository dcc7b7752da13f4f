//! A schedule as lines to read: simulated ms, who, what was called, what came back.
//!
//! Lines are made by `World::tell`; here they are only made shorter.

/// The longest line of a debug print.
const MOST: usize = 220;

/// A debug print without payload bytes and within a line.
pub fn brief(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MOST));
    let mut rest = text;
    // Byte lists are payloads: nobody reads them.
    while let Some(at) = rest.find("payload: ") {
        let (head, tail) = rest.split_at(at);
        out.push_str(head);
        let end = match tail.as_bytes().get(9) {
            Some(b'[') => tail.find(']').map_or(tail.len(), |e| e + 1),
            _ => tail.find('"').map_or(tail.len(), |_| string_end(tail)),
        };
        out.push_str("payload");
        rest = &tail[end..];
    }
    out.push_str(rest);
    match out.char_indices().nth(MOST) {
        Some((cut, _)) => format!("{}...", &out[..cut]),
        None => out,
    }
}

/// The end of the first quoted text.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    let mut inside = false;
    for (i, c) in text.char_indices() {
        match c {
            '"' if !escaped && inside => return i + 1,
            '"' if !escaped => inside = true,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_left_out() {
        assert_eq!(brief("Ask { payload: [1, 2], t: 3 }"), "Ask { payload, t: 3 }");
        assert_eq!(brief("Ask { payload: b\"a\\\"b\", t: 3 }"), "Ask { payload, t: 3 }");
        assert!(brief(&"x".repeat(1000)).len() < 300);
    }
}
