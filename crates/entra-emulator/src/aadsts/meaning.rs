//! What the codes mean, who has to act and what helps: for people who meet one here.
//!
//! What they mean and who has to act is said in the words of `tower-obo`'s page of errors, which an end-to-end test
//! compares; the emulator stands alone. From <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>.

mod codes;

/// An AADSTS code in a sentence.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Aadsts {
    /// The number behind `AADSTS`.
    pub code: u32,
    /// What it means.
    pub meaning: &'static str,
    /// Who has to act.
    pub who: &'static str,
    /// What they do.
    pub remedy: &'static str,
    /// What helps in the emulator, where that is something of its own.
    pub here: Option<&'static str>,
}

impl Aadsts {
    /// What is known about a code.
    ///
    /// ```
    /// use entra_emulator::Aadsts;
    ///
    /// let known = Aadsts::find(65001).unwrap();
    /// assert_eq!(known.meaning, "consent has not been given");
    /// assert_eq!(known.who, "user or administrator");
    /// assert!(Aadsts::find(1).is_none());
    /// ```
    #[must_use]
    pub fn find(code: u32) -> Option<&'static Self> {
        let at = codes::TABLE
            .binary_search_by_key(&code, |row| row.code)
            .ok()?;
        codes::TABLE.get(at)
    }

    /// Every code that is known, in order: those that the emulator says, and those that a fault can be made to say.
    #[must_use]
    pub const fn all() -> &'static [Self] {
        codes::TABLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_without_a_code_twice() {
        let table = Aadsts::all();
        assert!(table.windows(2).all(|pair| pair[0].code < pair[1].code));
        for row in table {
            assert_eq!(Aadsts::find(row.code), Some(row));
            // They are broken into lines, also within commands.
            for text in [row.meaning, row.remedy, row.here.unwrap_or_default()] {
                assert!(!text.contains("- ") && !text.contains("  "), "{text}");
                assert_eq!(text.matches('`').count() % 2, 0, "{text}");
            }
        }
    }

    #[test]
    fn every_code_that_is_issued_has_a_sentence() {
        let sources = [include_str!("mod.rs"), include_str!("assertion.rs")];
        let mut issued = 0;
        for number in sources
            .iter()
            .flat_map(|source| source.split(|letter: char| !matches!(letter, '0'..='9' | '_')))
        {
            // Codes are written as 50_013 in the code, and stand in no other form there.
            let Some((thousands, _)) = number.split_once('_') else {
                continue;
            };
            if !thousands.is_empty()
                && let Ok(code) = number.replace('_', "").parse()
            {
                assert!(Aadsts::find(code).is_some(), "AADSTS{code}");
                issued += 1;
            }
        }
        assert!(issued > 40, "{issued}");
    }
}
