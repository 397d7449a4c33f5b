//! What the watch of a request knows of its body.

use std::task::Context;

use super::Watch;

impl Watch {
    /// Whether the upload waits for the client. Its time begins when it is asked for more, however long the
    /// upstream was waited for before.
    pub(crate) fn set_uploading(&self, waiting: bool) {
        let was_waiting = self.uploading.replace(waiting);
        if !(waiting && was_waiting) {
            self.touch();
        }
    }

    /// What [`may_upload`](Self::may_upload) wants to know of the request that runs.
    pub(crate) fn upload(&self) -> u32 {
        self.upload.get()
    }

    /// Whether this upload may go on. One that waits is woken when it no longer may.
    pub(crate) fn may_upload(&self, upload: u32) -> bool {
        self.upload.get() == upload
    }

    /// The upload waits for the client, or goes on.
    pub(crate) fn uploader_waits(&self, cx: &Context<'_>) {
        let mut uploader = self.uploader.borrow_mut();
        match &mut *uploader {
            Some(known) => known.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Nobody wants the rest of that upload any more: its answer has ended.
    pub(crate) fn end_upload(&self, upload: u32) {
        if self.may_upload(upload) {
            self.end_uploads();
        }
    }

    pub(super) fn end_uploads(&self) {
        self.upload.set(self.upload.get().wrapping_add(1));
        self.uploading.set(false);
        if let Some(uploader) = self.uploader.take() {
            uploader.wake();
        }
    }

    pub(crate) fn set_uploaded(&self) {
        self.uploaded.set(true);
    }

    /// Whether the request that came last had a body, or might have had one.
    pub(crate) fn had_body(&self) -> bool {
        self.had_body.get()
    }

    pub(crate) fn set_came_along(&self, bytes: u64) {
        self.came_along.set(bytes);
    }

    /// How many bytes of a body may have come together with its head. Over HTTP/1.
    pub(crate) fn came_along(&self) -> u64 {
        self.came_along.get()
    }

    pub(crate) fn is_uploaded(&self) -> bool {
        self.uploaded.get()
    }

    pub(crate) fn set_trailers(&self) {
        self.trailers.set(true);
    }

    /// Whether the request's body has ended, and without trailers.
    pub(crate) fn has_plain_end(&self) -> bool {
        self.uploaded.get() && !self.trailers.get()
    }

    /// Lets no more than that of the request's body through.
    pub(crate) fn allow_body(&self, bytes: u64) {
        self.body_left.set(bytes);
    }

    /// Whether so many more bytes of the request's body may pass.
    pub(crate) fn takes(&self, bytes: usize) -> bool {
        let left = u64::try_from(bytes)
            .ok()
            .and_then(|bytes| self.body_left.get().checked_sub(bytes));
        match left {
            Some(left) => self.body_left.set(left),
            None => self.too_large.set(true),
        }
        left.is_some()
    }

    /// Whether more of the request's body came than was allowed.
    pub(crate) fn is_too_large(&self) -> bool {
        self.too_large.get()
    }
}
