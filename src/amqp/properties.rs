//! basic's content properties (skeleton).
