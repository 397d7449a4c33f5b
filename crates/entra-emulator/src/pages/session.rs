#[derive(Debug, Default)]
pub(crate) struct Sessions;
