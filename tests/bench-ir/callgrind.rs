//! Reads what callgrind writes.

use std::collections::HashMap;

/// Instructions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    pub(crate) total: u64,
    pub(crate) sha256: u64,
}

/// Sums the cost of every function, its callees apart.
pub(crate) fn read(file: &str) -> Cost {
    let mut names: HashMap<&str, bool> = HashMap::new();
    let mut cost = Cost::default();
    let (mut in_sha256, mut of_a_call) = (false, false);
    for line in file.lines() {
        // `(7) name` where a function is named first, `(7)` afterwards; also as somebody's callee.
        let function = line.strip_prefix("fn=");
        if let Some(named) = function.or_else(|| line.strip_prefix("cfn=")) {
            let (id, name) = named.split_once(' ').unwrap_or((named, ""));
            if !name.is_empty() {
                names.insert(id, name.contains("sha256_block"));
            }
            if function.is_some() {
                in_sha256 = names.get(id).copied().unwrap_or(false);
            }
        } else if line.starts_with("calls=") {
            // The next line is the cost of the callee, which has a place of its own.
            of_a_call = true;
        } else if line
            .starts_with(|char: char| char.is_ascii_digit() || matches!(char, '+' | '-' | '*'))
        {
            let instructions = line
                .split(' ')
                .nth(1)
                .and_then(|cost| cost.parse::<u64>().ok());
            match instructions {
                Some(instructions) if !of_a_call => {
                    cost.total += instructions;
                    cost.sha256 += if in_sha256 { instructions } else { 0 };
                }
                _ => {}
            }
            of_a_call = false;
        }
    }
    cost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_summed_without_those_of_callees() {
        let file = "events: Ir\nfn=(1) main\n1 10\ncfn=(2) aws_lc_sha256_block_data_order\n\
                    calls=2 5\n1 1000\n+1 5\nfn=(2)\n7 100\nfn=(1)\n9 1\n";
        let cost = read(file);
        assert_eq!((cost.total, cost.sha256), (116, 100));
    }
}
