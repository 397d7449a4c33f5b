//! Keys of the caches: SHA-256, so that no user's token stays in memory to be compared with.

use std::hash::{BuildHasher, Hash, Hasher};

use aws_lc_rs::digest::{Context, SHA256};

/// A SHA-256 value. It is spread evenly already, so hash tables take eight bytes of it as they are.
///
/// Nobody can choose those bytes to flood a table: only what validated is ever stored under one.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// The hash of these fields, each with its length before it: no field can be shifted into its
    /// neighbour.
    pub(crate) fn of(fields: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for field in fields {
            context.update(&(field.len() as u64).to_be_bytes());
            context.update(field);
        }
        Self::finish(context)
    }

    /// The same for a field of eight bytes and another one. Every request asks for it, and what is
    /// given to the hash piece by piece costs more than the pieces.
    pub(crate) fn of_two(first: [u8; 8], second: &[u8]) -> Self {
        let mut begin = [0; 24];
        let (lengths, last) = begin.split_at_mut(16);
        let (length, field) = lengths.split_at_mut(8);
        length.copy_from_slice(&(first.len() as u64).to_be_bytes());
        field.copy_from_slice(&first);
        last.copy_from_slice(&(second.len() as u64).to_be_bytes());
        let mut context = Context::new(&SHA256);
        context.update(&begin);
        context.update(second);
        Self::finish(context)
    }

    fn finish(context: Context) -> Self {
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Self(digest)
    }

    pub(crate) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Enough to tell entries apart in a log, too little to look one up by.
        write!(f, "Digest({:02x}{:02x}…)", self.0[0], self.0[1])
    }
}

/// Takes the eight bytes that [`Digest`] writes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

impl BuildHasher for AsIs {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        *self
    }
}

#[cfg(test)]
mod tests {
    use super::Digest;

    #[test]
    fn fields_cannot_be_shifted_into_their_neighbours() {
        let one = Digest::of(&[b"ab", b"c"]);
        assert!(one == Digest::of(&[b"ab", b"c"]));
        for other in [
            &[&b"a"[..], b"bc"][..],
            &[b"abc"],
            &[b"ab", b"c", b""],
            &[b"ab"],
        ] {
            assert!(one != Digest::of(other), "{other:?}");
        }
    }

    #[test]
    fn two_fields_at_once_are_the_same_two_fields() {
        let first = *b"validate";
        for second in [&b""[..], b"c", &[b'x'; 1_600]] {
            assert!(Digest::of_two(first, second) == Digest::of(&[&first, second]));
        }
    }
}
