//! Judges a token: form, header, claims, key, signature. The cheap reasons come before the dear
//! ones, and nothing of the network is touched.

pub(crate) mod claims;
mod defect;
mod intern;
pub(crate) mod jose;
mod json;
#[cfg(test)]
mod properties;
mod validator;
#[cfg(test)]
mod vectors;

pub(crate) use self::validator::{Validated, claim_and_member, is_guid};
pub use self::{
    defect::TokenDefect,
    validator::{Validator, ValidatorBuilder},
};
