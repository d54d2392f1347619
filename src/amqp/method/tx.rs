//! Class tx. Transactions around publishing and acknowledging on one channel.

// Generated from spec/ by `cargo run -p spec-generator`; do not edit.

use super::Facts;
use crate::amqp::wire::{Reader, WireError, put_short};

/// tx.select: Makes the channel transactional.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Select;

impl Select {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 90,
        method_id: 10,
        name: "tx.select",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 90);
        put_short(out, 10);
    }
}

/// tx.select-ok: The channel is transactional.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SelectOk;

impl SelectOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 90,
        method_id: 11,
        name: "tx.select-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 90);
        put_short(out, 11);
    }
}

/// tx.commit: Does what was gathered since the last commit or rollback.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Commit;

impl Commit {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 90,
        method_id: 20,
        name: "tx.commit",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 90);
        put_short(out, 20);
    }
}

/// tx.commit-ok: It was done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CommitOk;

impl CommitOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 90,
        method_id: 21,
        name: "tx.commit-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 90);
        put_short(out, 21);
    }
}

/// tx.rollback: Forgets what was gathered since the last commit or rollback.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rollback;

impl Rollback {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 90,
        method_id: 30,
        name: "tx.rollback",
        has_content: false,
        is_synchronous: true,
        from_client: true,
        from_server: false,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 90);
        put_short(out, 30);
    }
}

/// tx.rollback-ok: It was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RollbackOk;

impl RollbackOk {
    /// What the specification says of it.
    pub const FACTS: Facts = Facts {
        class_id: 90,
        method_id: 31,
        name: "tx.rollback-ok",
        has_content: false,
        is_synchronous: false,
        from_client: false,
        from_server: true,
    };

    pub(super) fn read(_input: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_short(out, 90);
        put_short(out, 31);
    }
}
