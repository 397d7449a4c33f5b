pub(crate) async fn arm() -> &'static str {
    "entra-emulator: Azure Resource Manager"
}
