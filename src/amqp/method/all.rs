//! Every method in one enum.

// Generated from spec/ by `cargo run -p spec-generator`; do not edit.

use super::Facts;
use super::{access, basic, channel, confirm, connection, exchange, queue, tx};
use crate::amqp::wire::{Reader, WireError};

/// Every method.
#[derive(Clone, Debug, PartialEq)]
pub enum Method {
    /// connection.start: The server's first word after the protocol header: what it is and how one may log in.
    ConnectionStart(connection::Start),
    /// connection.start-ok: The client's choice of mechanism and locale, and what it is itself.
    ConnectionStartOk(connection::StartOk),
    /// connection.secure: A further challenge of the SASL mechanism.
    ConnectionSecure(connection::Secure),
    /// connection.secure-ok: The answer to a challenge.
    ConnectionSecureOk(connection::SecureOk),
    /// connection.tune: The limits that the server proposes.
    ConnectionTune(connection::Tune),
    /// connection.tune-ok: The limits that the client settles on.
    ConnectionTuneOk(connection::TuneOk),
    /// connection.open: Enters a virtual host.
    ConnectionOpen(connection::Open),
    /// connection.open-ok: The virtual host is entered.
    ConnectionOpenOk(connection::OpenOk),
    /// connection.close: Ends the connection, in order or with an error.
    ConnectionClose(connection::Close),
    /// connection.close-ok: The close was seen; nothing follows.
    ConnectionCloseOk(connection::CloseOk),
    /// connection.blocked: Publishers are not read until further notice. Sent to clients with the capability connection.blocked.
    ConnectionBlocked(connection::Blocked),
    /// connection.unblocked: Publishers are read again.
    ConnectionUnblocked(connection::Unblocked),
    /// connection.update-secret: Replaces the credential of an open connection, as a token that is about to expire.
    ConnectionUpdateSecret(connection::UpdateSecret),
    /// connection.update-secret-ok: The new credential was taken.
    ConnectionUpdateSecretOk(connection::UpdateSecretOk),
    /// channel.open: Opens the channel that it is sent on.
    ChannelOpen(channel::Open),
    /// channel.open-ok: The channel is open.
    ChannelOpenOk(channel::OpenOk),
    /// channel.flow: Stops or restarts what the peer sends.
    ChannelFlow(channel::Flow),
    /// channel.flow-ok: A flow was obeyed.
    ChannelFlowOk(channel::FlowOk),
    /// channel.close: Ends the channel, in order or with an error.
    ChannelClose(channel::Close),
    /// channel.close-ok: The close was seen; the channel's number is free.
    ChannelCloseOk(channel::CloseOk),
    /// access.request: Asks for a ticket. What it says is not looked at.
    AccessRequest(access::Request),
    /// access.request-ok: A ticket, which means nothing.
    AccessRequestOk(access::RequestOk),
    /// exchange.declare: Makes an exchange, or checks that one is as described.
    ExchangeDeclare(exchange::Declare),
    /// exchange.declare-ok: The exchange is there.
    ExchangeDeclareOk(exchange::DeclareOk),
    /// exchange.delete: Deletes an exchange and its bindings.
    ExchangeDelete(exchange::Delete),
    /// exchange.delete-ok: The exchange is gone.
    ExchangeDeleteOk(exchange::DeleteOk),
    /// exchange.bind: Binds an exchange to another, so that messages flow from source to destination.
    ExchangeBind(exchange::Bind),
    /// exchange.bind-ok: The binding is there.
    ExchangeBindOk(exchange::BindOk),
    /// exchange.unbind: Takes a binding between exchanges away.
    ExchangeUnbind(exchange::Unbind),
    /// exchange.unbind-ok: The binding is gone.
    ExchangeUnbindOk(exchange::UnbindOk),
    /// queue.declare: Makes a queue, or checks that one is as described.
    QueueDeclare(queue::Declare),
    /// queue.declare-ok: The queue is there.
    QueueDeclareOk(queue::DeclareOk),
    /// queue.bind: Binds a queue to an exchange.
    QueueBind(queue::Bind),
    /// queue.bind-ok: The binding is there.
    QueueBindOk(queue::BindOk),
    /// queue.purge: Drops all messages that are ready.
    QueuePurge(queue::Purge),
    /// queue.purge-ok: The queue was purged.
    QueuePurgeOk(queue::PurgeOk),
    /// queue.delete: Deletes a queue, its messages and its bindings.
    QueueDelete(queue::Delete),
    /// queue.delete-ok: The queue is gone.
    QueueDeleteOk(queue::DeleteOk),
    /// queue.unbind: Takes a binding away. It has no no-wait.
    QueueUnbind(queue::Unbind),
    /// queue.unbind-ok: The binding is gone.
    QueueUnbindOk(queue::UnbindOk),
    /// basic.qos: Limits what may be delivered and not yet acknowledged.
    BasicQos(basic::Qos),
    /// basic.qos-ok: The limits hold.
    BasicQosOk(basic::QosOk),
    /// basic.consume: Starts a consumer.
    BasicConsume(basic::Consume),
    /// basic.consume-ok: The consumer is there.
    BasicConsumeOk(basic::ConsumeOk),
    /// basic.cancel: Ends a consumer. The server sends it too, when a queue goes, to clients with the capability consumer_cancel_notify.
    BasicCancel(basic::Cancel),
    /// basic.cancel-ok: The consumer is gone.
    BasicCancelOk(basic::CancelOk),
    /// basic.publish: Publishes the message that follows.
    BasicPublish(basic::Publish),
    /// basic.return: Gives a mandatory message back that reached no queue.
    BasicReturn(basic::Return),
    /// basic.deliver: Delivers the message that follows to a consumer.
    BasicDeliver(basic::Deliver),
    /// basic.get: Asks for one message of a queue.
    BasicGet(basic::Get),
    /// basic.get-ok: Gives the message that follows.
    BasicGetOk(basic::GetOk),
    /// basic.get-empty: There is no message.
    BasicGetEmpty(basic::GetEmpty),
    /// basic.ack: Settles deliveries for good. From the server: confirms what was published.
    BasicAck(basic::Ack),
    /// basic.reject: Gives one delivery back, or throws it away.
    BasicReject(basic::Reject),
    /// basic.recover-async: Like recover, without an answer; deprecated.
    BasicRecoverAsync(basic::RecoverAsync),
    /// basic.recover: Gives all unacknowledged deliveries of the channel back.
    BasicRecover(basic::Recover),
    /// basic.recover-ok: They were given back.
    BasicRecoverOk(basic::RecoverOk),
    /// basic.nack: Rejects one or many deliveries. From the server: refuses what was published.
    BasicNack(basic::Nack),
    /// confirm.select: From now on, every message published on this channel is confirmed.
    ConfirmSelect(confirm::Select),
    /// confirm.select-ok: The channel confirms.
    ConfirmSelectOk(confirm::SelectOk),
    /// tx.select: Makes the channel transactional.
    TxSelect(tx::Select),
    /// tx.select-ok: The channel is transactional.
    TxSelectOk(tx::SelectOk),
    /// tx.commit: Does what was gathered since the last commit or rollback.
    TxCommit(tx::Commit),
    /// tx.commit-ok: It was done.
    TxCommitOk(tx::CommitOk),
    /// tx.rollback: Forgets what was gathered since the last commit or rollback.
    TxRollback(tx::Rollback),
    /// tx.rollback-ok: It was forgotten.
    TxRollbackOk(tx::RollbackOk),
}

impl Method {
    /// What the specification says of it.
    pub fn facts(&self) -> &'static Facts {
        match self {
            Self::ConnectionStart(_) => &connection::Start::FACTS,
            Self::ConnectionStartOk(_) => &connection::StartOk::FACTS,
            Self::ConnectionSecure(_) => &connection::Secure::FACTS,
            Self::ConnectionSecureOk(_) => &connection::SecureOk::FACTS,
            Self::ConnectionTune(_) => &connection::Tune::FACTS,
            Self::ConnectionTuneOk(_) => &connection::TuneOk::FACTS,
            Self::ConnectionOpen(_) => &connection::Open::FACTS,
            Self::ConnectionOpenOk(_) => &connection::OpenOk::FACTS,
            Self::ConnectionClose(_) => &connection::Close::FACTS,
            Self::ConnectionCloseOk(_) => &connection::CloseOk::FACTS,
            Self::ConnectionBlocked(_) => &connection::Blocked::FACTS,
            Self::ConnectionUnblocked(_) => &connection::Unblocked::FACTS,
            Self::ConnectionUpdateSecret(_) => &connection::UpdateSecret::FACTS,
            Self::ConnectionUpdateSecretOk(_) => &connection::UpdateSecretOk::FACTS,
            Self::ChannelOpen(_) => &channel::Open::FACTS,
            Self::ChannelOpenOk(_) => &channel::OpenOk::FACTS,
            Self::ChannelFlow(_) => &channel::Flow::FACTS,
            Self::ChannelFlowOk(_) => &channel::FlowOk::FACTS,
            Self::ChannelClose(_) => &channel::Close::FACTS,
            Self::ChannelCloseOk(_) => &channel::CloseOk::FACTS,
            Self::AccessRequest(_) => &access::Request::FACTS,
            Self::AccessRequestOk(_) => &access::RequestOk::FACTS,
            Self::ExchangeDeclare(_) => &exchange::Declare::FACTS,
            Self::ExchangeDeclareOk(_) => &exchange::DeclareOk::FACTS,
            Self::ExchangeDelete(_) => &exchange::Delete::FACTS,
            Self::ExchangeDeleteOk(_) => &exchange::DeleteOk::FACTS,
            Self::ExchangeBind(_) => &exchange::Bind::FACTS,
            Self::ExchangeBindOk(_) => &exchange::BindOk::FACTS,
            Self::ExchangeUnbind(_) => &exchange::Unbind::FACTS,
            Self::ExchangeUnbindOk(_) => &exchange::UnbindOk::FACTS,
            Self::QueueDeclare(_) => &queue::Declare::FACTS,
            Self::QueueDeclareOk(_) => &queue::DeclareOk::FACTS,
            Self::QueueBind(_) => &queue::Bind::FACTS,
            Self::QueueBindOk(_) => &queue::BindOk::FACTS,
            Self::QueuePurge(_) => &queue::Purge::FACTS,
            Self::QueuePurgeOk(_) => &queue::PurgeOk::FACTS,
            Self::QueueDelete(_) => &queue::Delete::FACTS,
            Self::QueueDeleteOk(_) => &queue::DeleteOk::FACTS,
            Self::QueueUnbind(_) => &queue::Unbind::FACTS,
            Self::QueueUnbindOk(_) => &queue::UnbindOk::FACTS,
            Self::BasicQos(_) => &basic::Qos::FACTS,
            Self::BasicQosOk(_) => &basic::QosOk::FACTS,
            Self::BasicConsume(_) => &basic::Consume::FACTS,
            Self::BasicConsumeOk(_) => &basic::ConsumeOk::FACTS,
            Self::BasicCancel(_) => &basic::Cancel::FACTS,
            Self::BasicCancelOk(_) => &basic::CancelOk::FACTS,
            Self::BasicPublish(_) => &basic::Publish::FACTS,
            Self::BasicReturn(_) => &basic::Return::FACTS,
            Self::BasicDeliver(_) => &basic::Deliver::FACTS,
            Self::BasicGet(_) => &basic::Get::FACTS,
            Self::BasicGetOk(_) => &basic::GetOk::FACTS,
            Self::BasicGetEmpty(_) => &basic::GetEmpty::FACTS,
            Self::BasicAck(_) => &basic::Ack::FACTS,
            Self::BasicReject(_) => &basic::Reject::FACTS,
            Self::BasicRecoverAsync(_) => &basic::RecoverAsync::FACTS,
            Self::BasicRecover(_) => &basic::Recover::FACTS,
            Self::BasicRecoverOk(_) => &basic::RecoverOk::FACTS,
            Self::BasicNack(_) => &basic::Nack::FACTS,
            Self::ConfirmSelect(_) => &confirm::Select::FACTS,
            Self::ConfirmSelectOk(_) => &confirm::SelectOk::FACTS,
            Self::TxSelect(_) => &tx::Select::FACTS,
            Self::TxSelectOk(_) => &tx::SelectOk::FACTS,
            Self::TxCommit(_) => &tx::Commit::FACTS,
            Self::TxCommitOk(_) => &tx::CommitOk::FACTS,
            Self::TxRollback(_) => &tx::Rollback::FACTS,
            Self::TxRollbackOk(_) => &tx::RollbackOk::FACTS,
        }
    }

    /// Reads the arguments of the method of that number; None if there is no such method.
    pub(super) fn read(ids: (u16, u16), input: &mut Reader<'_>) -> Option<Result<Self, WireError>> {
        Some(match ids {
            (10, 10) => connection::Start::read(input).map(Self::ConnectionStart),
            (10, 11) => connection::StartOk::read(input).map(Self::ConnectionStartOk),
            (10, 20) => connection::Secure::read(input).map(Self::ConnectionSecure),
            (10, 21) => connection::SecureOk::read(input).map(Self::ConnectionSecureOk),
            (10, 30) => connection::Tune::read(input).map(Self::ConnectionTune),
            (10, 31) => connection::TuneOk::read(input).map(Self::ConnectionTuneOk),
            (10, 40) => connection::Open::read(input).map(Self::ConnectionOpen),
            (10, 41) => connection::OpenOk::read(input).map(Self::ConnectionOpenOk),
            (10, 50) => connection::Close::read(input).map(Self::ConnectionClose),
            (10, 51) => connection::CloseOk::read(input).map(Self::ConnectionCloseOk),
            (10, 60) => connection::Blocked::read(input).map(Self::ConnectionBlocked),
            (10, 61) => connection::Unblocked::read(input).map(Self::ConnectionUnblocked),
            (10, 70) => connection::UpdateSecret::read(input).map(Self::ConnectionUpdateSecret),
            (10, 71) => connection::UpdateSecretOk::read(input).map(Self::ConnectionUpdateSecretOk),
            (20, 10) => channel::Open::read(input).map(Self::ChannelOpen),
            (20, 11) => channel::OpenOk::read(input).map(Self::ChannelOpenOk),
            (20, 20) => channel::Flow::read(input).map(Self::ChannelFlow),
            (20, 21) => channel::FlowOk::read(input).map(Self::ChannelFlowOk),
            (20, 40) => channel::Close::read(input).map(Self::ChannelClose),
            (20, 41) => channel::CloseOk::read(input).map(Self::ChannelCloseOk),
            (30, 10) => access::Request::read(input).map(Self::AccessRequest),
            (30, 11) => access::RequestOk::read(input).map(Self::AccessRequestOk),
            (40, 10) => exchange::Declare::read(input).map(Self::ExchangeDeclare),
            (40, 11) => exchange::DeclareOk::read(input).map(Self::ExchangeDeclareOk),
            (40, 20) => exchange::Delete::read(input).map(Self::ExchangeDelete),
            (40, 21) => exchange::DeleteOk::read(input).map(Self::ExchangeDeleteOk),
            (40, 30) => exchange::Bind::read(input).map(Self::ExchangeBind),
            (40, 31) => exchange::BindOk::read(input).map(Self::ExchangeBindOk),
            (40, 40) => exchange::Unbind::read(input).map(Self::ExchangeUnbind),
            (40, 51) => exchange::UnbindOk::read(input).map(Self::ExchangeUnbindOk),
            (50, 10) => queue::Declare::read(input).map(Self::QueueDeclare),
            (50, 11) => queue::DeclareOk::read(input).map(Self::QueueDeclareOk),
            (50, 20) => queue::Bind::read(input).map(Self::QueueBind),
            (50, 21) => queue::BindOk::read(input).map(Self::QueueBindOk),
            (50, 30) => queue::Purge::read(input).map(Self::QueuePurge),
            (50, 31) => queue::PurgeOk::read(input).map(Self::QueuePurgeOk),
            (50, 40) => queue::Delete::read(input).map(Self::QueueDelete),
            (50, 41) => queue::DeleteOk::read(input).map(Self::QueueDeleteOk),
            (50, 50) => queue::Unbind::read(input).map(Self::QueueUnbind),
            (50, 51) => queue::UnbindOk::read(input).map(Self::QueueUnbindOk),
            (60, 10) => basic::Qos::read(input).map(Self::BasicQos),
            (60, 11) => basic::QosOk::read(input).map(Self::BasicQosOk),
            (60, 20) => basic::Consume::read(input).map(Self::BasicConsume),
            (60, 21) => basic::ConsumeOk::read(input).map(Self::BasicConsumeOk),
            (60, 30) => basic::Cancel::read(input).map(Self::BasicCancel),
            (60, 31) => basic::CancelOk::read(input).map(Self::BasicCancelOk),
            (60, 40) => basic::Publish::read(input).map(Self::BasicPublish),
            (60, 50) => basic::Return::read(input).map(Self::BasicReturn),
            (60, 60) => basic::Deliver::read(input).map(Self::BasicDeliver),
            (60, 70) => basic::Get::read(input).map(Self::BasicGet),
            (60, 71) => basic::GetOk::read(input).map(Self::BasicGetOk),
            (60, 72) => basic::GetEmpty::read(input).map(Self::BasicGetEmpty),
            (60, 80) => basic::Ack::read(input).map(Self::BasicAck),
            (60, 90) => basic::Reject::read(input).map(Self::BasicReject),
            (60, 100) => basic::RecoverAsync::read(input).map(Self::BasicRecoverAsync),
            (60, 110) => basic::Recover::read(input).map(Self::BasicRecover),
            (60, 111) => basic::RecoverOk::read(input).map(Self::BasicRecoverOk),
            (60, 120) => basic::Nack::read(input).map(Self::BasicNack),
            (85, 10) => confirm::Select::read(input).map(Self::ConfirmSelect),
            (85, 11) => confirm::SelectOk::read(input).map(Self::ConfirmSelectOk),
            (90, 10) => tx::Select::read(input).map(Self::TxSelect),
            (90, 11) => tx::SelectOk::read(input).map(Self::TxSelectOk),
            (90, 20) => tx::Commit::read(input).map(Self::TxCommit),
            (90, 21) => tx::CommitOk::read(input).map(Self::TxCommitOk),
            (90, 30) => tx::Rollback::read(input).map(Self::TxRollback),
            (90, 31) => tx::RollbackOk::read(input).map(Self::TxRollbackOk),
            _ => return None,
        })
    }

    /// Writes class, method and arguments: a method frame's payload.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::ConnectionStart(method) => method.encode(out),
            Self::ConnectionStartOk(method) => method.encode(out),
            Self::ConnectionSecure(method) => method.encode(out),
            Self::ConnectionSecureOk(method) => method.encode(out),
            Self::ConnectionTune(method) => method.encode(out),
            Self::ConnectionTuneOk(method) => method.encode(out),
            Self::ConnectionOpen(method) => method.encode(out),
            Self::ConnectionOpenOk(method) => method.encode(out),
            Self::ConnectionClose(method) => method.encode(out),
            Self::ConnectionCloseOk(method) => method.encode(out),
            Self::ConnectionBlocked(method) => method.encode(out),
            Self::ConnectionUnblocked(method) => method.encode(out),
            Self::ConnectionUpdateSecret(method) => method.encode(out),
            Self::ConnectionUpdateSecretOk(method) => method.encode(out),
            Self::ChannelOpen(method) => method.encode(out),
            Self::ChannelOpenOk(method) => method.encode(out),
            Self::ChannelFlow(method) => method.encode(out),
            Self::ChannelFlowOk(method) => method.encode(out),
            Self::ChannelClose(method) => method.encode(out),
            Self::ChannelCloseOk(method) => method.encode(out),
            Self::AccessRequest(method) => method.encode(out),
            Self::AccessRequestOk(method) => method.encode(out),
            Self::ExchangeDeclare(method) => method.encode(out),
            Self::ExchangeDeclareOk(method) => method.encode(out),
            Self::ExchangeDelete(method) => method.encode(out),
            Self::ExchangeDeleteOk(method) => method.encode(out),
            Self::ExchangeBind(method) => method.encode(out),
            Self::ExchangeBindOk(method) => method.encode(out),
            Self::ExchangeUnbind(method) => method.encode(out),
            Self::ExchangeUnbindOk(method) => method.encode(out),
            Self::QueueDeclare(method) => method.encode(out),
            Self::QueueDeclareOk(method) => method.encode(out),
            Self::QueueBind(method) => method.encode(out),
            Self::QueueBindOk(method) => method.encode(out),
            Self::QueuePurge(method) => method.encode(out),
            Self::QueuePurgeOk(method) => method.encode(out),
            Self::QueueDelete(method) => method.encode(out),
            Self::QueueDeleteOk(method) => method.encode(out),
            Self::QueueUnbind(method) => method.encode(out),
            Self::QueueUnbindOk(method) => method.encode(out),
            Self::BasicQos(method) => method.encode(out),
            Self::BasicQosOk(method) => method.encode(out),
            Self::BasicConsume(method) => method.encode(out),
            Self::BasicConsumeOk(method) => method.encode(out),
            Self::BasicCancel(method) => method.encode(out),
            Self::BasicCancelOk(method) => method.encode(out),
            Self::BasicPublish(method) => method.encode(out),
            Self::BasicReturn(method) => method.encode(out),
            Self::BasicDeliver(method) => method.encode(out),
            Self::BasicGet(method) => method.encode(out),
            Self::BasicGetOk(method) => method.encode(out),
            Self::BasicGetEmpty(method) => method.encode(out),
            Self::BasicAck(method) => method.encode(out),
            Self::BasicReject(method) => method.encode(out),
            Self::BasicRecoverAsync(method) => method.encode(out),
            Self::BasicRecover(method) => method.encode(out),
            Self::BasicRecoverOk(method) => method.encode(out),
            Self::BasicNack(method) => method.encode(out),
            Self::ConfirmSelect(method) => method.encode(out),
            Self::ConfirmSelectOk(method) => method.encode(out),
            Self::TxSelect(method) => method.encode(out),
            Self::TxSelectOk(method) => method.encode(out),
            Self::TxCommit(method) => method.encode(out),
            Self::TxCommitOk(method) => method.encode(out),
            Self::TxRollback(method) => method.encode(out),
            Self::TxRollbackOk(method) => method.encode(out),
        }
    }
}

impl Facts {
    /// Every method's facts, by class and method number.
    pub const ALL: [&'static Self; 66] = [
        &connection::Start::FACTS,
        &connection::StartOk::FACTS,
        &connection::Secure::FACTS,
        &connection::SecureOk::FACTS,
        &connection::Tune::FACTS,
        &connection::TuneOk::FACTS,
        &connection::Open::FACTS,
        &connection::OpenOk::FACTS,
        &connection::Close::FACTS,
        &connection::CloseOk::FACTS,
        &connection::Blocked::FACTS,
        &connection::Unblocked::FACTS,
        &connection::UpdateSecret::FACTS,
        &connection::UpdateSecretOk::FACTS,
        &channel::Open::FACTS,
        &channel::OpenOk::FACTS,
        &channel::Flow::FACTS,
        &channel::FlowOk::FACTS,
        &channel::Close::FACTS,
        &channel::CloseOk::FACTS,
        &access::Request::FACTS,
        &access::RequestOk::FACTS,
        &exchange::Declare::FACTS,
        &exchange::DeclareOk::FACTS,
        &exchange::Delete::FACTS,
        &exchange::DeleteOk::FACTS,
        &exchange::Bind::FACTS,
        &exchange::BindOk::FACTS,
        &exchange::Unbind::FACTS,
        &exchange::UnbindOk::FACTS,
        &queue::Declare::FACTS,
        &queue::DeclareOk::FACTS,
        &queue::Bind::FACTS,
        &queue::BindOk::FACTS,
        &queue::Purge::FACTS,
        &queue::PurgeOk::FACTS,
        &queue::Delete::FACTS,
        &queue::DeleteOk::FACTS,
        &queue::Unbind::FACTS,
        &queue::UnbindOk::FACTS,
        &basic::Qos::FACTS,
        &basic::QosOk::FACTS,
        &basic::Consume::FACTS,
        &basic::ConsumeOk::FACTS,
        &basic::Cancel::FACTS,
        &basic::CancelOk::FACTS,
        &basic::Publish::FACTS,
        &basic::Return::FACTS,
        &basic::Deliver::FACTS,
        &basic::Get::FACTS,
        &basic::GetOk::FACTS,
        &basic::GetEmpty::FACTS,
        &basic::Ack::FACTS,
        &basic::Reject::FACTS,
        &basic::RecoverAsync::FACTS,
        &basic::Recover::FACTS,
        &basic::RecoverOk::FACTS,
        &basic::Nack::FACTS,
        &confirm::Select::FACTS,
        &confirm::SelectOk::FACTS,
        &tx::Select::FACTS,
        &tx::SelectOk::FACTS,
        &tx::Commit::FACTS,
        &tx::CommitOk::FACTS,
        &tx::Rollback::FACTS,
        &tx::RollbackOk::FACTS,
    ];
}

impl From<connection::Start> for Method {
    fn from(method: connection::Start) -> Self {
        Self::ConnectionStart(method)
    }
}

impl From<connection::StartOk> for Method {
    fn from(method: connection::StartOk) -> Self {
        Self::ConnectionStartOk(method)
    }
}

impl From<connection::Secure> for Method {
    fn from(method: connection::Secure) -> Self {
        Self::ConnectionSecure(method)
    }
}

impl From<connection::SecureOk> for Method {
    fn from(method: connection::SecureOk) -> Self {
        Self::ConnectionSecureOk(method)
    }
}

impl From<connection::Tune> for Method {
    fn from(method: connection::Tune) -> Self {
        Self::ConnectionTune(method)
    }
}

impl From<connection::TuneOk> for Method {
    fn from(method: connection::TuneOk) -> Self {
        Self::ConnectionTuneOk(method)
    }
}

impl From<connection::Open> for Method {
    fn from(method: connection::Open) -> Self {
        Self::ConnectionOpen(method)
    }
}

impl From<connection::OpenOk> for Method {
    fn from(method: connection::OpenOk) -> Self {
        Self::ConnectionOpenOk(method)
    }
}

impl From<connection::Close> for Method {
    fn from(method: connection::Close) -> Self {
        Self::ConnectionClose(method)
    }
}

impl From<connection::CloseOk> for Method {
    fn from(method: connection::CloseOk) -> Self {
        Self::ConnectionCloseOk(method)
    }
}

impl From<connection::Blocked> for Method {
    fn from(method: connection::Blocked) -> Self {
        Self::ConnectionBlocked(method)
    }
}

impl From<connection::Unblocked> for Method {
    fn from(method: connection::Unblocked) -> Self {
        Self::ConnectionUnblocked(method)
    }
}

impl From<connection::UpdateSecret> for Method {
    fn from(method: connection::UpdateSecret) -> Self {
        Self::ConnectionUpdateSecret(method)
    }
}

impl From<connection::UpdateSecretOk> for Method {
    fn from(method: connection::UpdateSecretOk) -> Self {
        Self::ConnectionUpdateSecretOk(method)
    }
}

impl From<channel::Open> for Method {
    fn from(method: channel::Open) -> Self {
        Self::ChannelOpen(method)
    }
}

impl From<channel::OpenOk> for Method {
    fn from(method: channel::OpenOk) -> Self {
        Self::ChannelOpenOk(method)
    }
}

impl From<channel::Flow> for Method {
    fn from(method: channel::Flow) -> Self {
        Self::ChannelFlow(method)
    }
}

impl From<channel::FlowOk> for Method {
    fn from(method: channel::FlowOk) -> Self {
        Self::ChannelFlowOk(method)
    }
}

impl From<channel::Close> for Method {
    fn from(method: channel::Close) -> Self {
        Self::ChannelClose(method)
    }
}

impl From<channel::CloseOk> for Method {
    fn from(method: channel::CloseOk) -> Self {
        Self::ChannelCloseOk(method)
    }
}

impl From<access::Request> for Method {
    fn from(method: access::Request) -> Self {
        Self::AccessRequest(method)
    }
}

impl From<access::RequestOk> for Method {
    fn from(method: access::RequestOk) -> Self {
        Self::AccessRequestOk(method)
    }
}

impl From<exchange::Declare> for Method {
    fn from(method: exchange::Declare) -> Self {
        Self::ExchangeDeclare(method)
    }
}

impl From<exchange::DeclareOk> for Method {
    fn from(method: exchange::DeclareOk) -> Self {
        Self::ExchangeDeclareOk(method)
    }
}

impl From<exchange::Delete> for Method {
    fn from(method: exchange::Delete) -> Self {
        Self::ExchangeDelete(method)
    }
}

impl From<exchange::DeleteOk> for Method {
    fn from(method: exchange::DeleteOk) -> Self {
        Self::ExchangeDeleteOk(method)
    }
}

impl From<exchange::Bind> for Method {
    fn from(method: exchange::Bind) -> Self {
        Self::ExchangeBind(method)
    }
}

impl From<exchange::BindOk> for Method {
    fn from(method: exchange::BindOk) -> Self {
        Self::ExchangeBindOk(method)
    }
}

impl From<exchange::Unbind> for Method {
    fn from(method: exchange::Unbind) -> Self {
        Self::ExchangeUnbind(method)
    }
}

impl From<exchange::UnbindOk> for Method {
    fn from(method: exchange::UnbindOk) -> Self {
        Self::ExchangeUnbindOk(method)
    }
}

impl From<queue::Declare> for Method {
    fn from(method: queue::Declare) -> Self {
        Self::QueueDeclare(method)
    }
}

impl From<queue::DeclareOk> for Method {
    fn from(method: queue::DeclareOk) -> Self {
        Self::QueueDeclareOk(method)
    }
}

impl From<queue::Bind> for Method {
    fn from(method: queue::Bind) -> Self {
        Self::QueueBind(method)
    }
}

impl From<queue::BindOk> for Method {
    fn from(method: queue::BindOk) -> Self {
        Self::QueueBindOk(method)
    }
}

impl From<queue::Purge> for Method {
    fn from(method: queue::Purge) -> Self {
        Self::QueuePurge(method)
    }
}

impl From<queue::PurgeOk> for Method {
    fn from(method: queue::PurgeOk) -> Self {
        Self::QueuePurgeOk(method)
    }
}

impl From<queue::Delete> for Method {
    fn from(method: queue::Delete) -> Self {
        Self::QueueDelete(method)
    }
}

impl From<queue::DeleteOk> for Method {
    fn from(method: queue::DeleteOk) -> Self {
        Self::QueueDeleteOk(method)
    }
}

impl From<queue::Unbind> for Method {
    fn from(method: queue::Unbind) -> Self {
        Self::QueueUnbind(method)
    }
}

impl From<queue::UnbindOk> for Method {
    fn from(method: queue::UnbindOk) -> Self {
        Self::QueueUnbindOk(method)
    }
}

impl From<basic::Qos> for Method {
    fn from(method: basic::Qos) -> Self {
        Self::BasicQos(method)
    }
}

impl From<basic::QosOk> for Method {
    fn from(method: basic::QosOk) -> Self {
        Self::BasicQosOk(method)
    }
}

impl From<basic::Consume> for Method {
    fn from(method: basic::Consume) -> Self {
        Self::BasicConsume(method)
    }
}

impl From<basic::ConsumeOk> for Method {
    fn from(method: basic::ConsumeOk) -> Self {
        Self::BasicConsumeOk(method)
    }
}

impl From<basic::Cancel> for Method {
    fn from(method: basic::Cancel) -> Self {
        Self::BasicCancel(method)
    }
}

impl From<basic::CancelOk> for Method {
    fn from(method: basic::CancelOk) -> Self {
        Self::BasicCancelOk(method)
    }
}

impl From<basic::Publish> for Method {
    fn from(method: basic::Publish) -> Self {
        Self::BasicPublish(method)
    }
}

impl From<basic::Return> for Method {
    fn from(method: basic::Return) -> Self {
        Self::BasicReturn(method)
    }
}

impl From<basic::Deliver> for Method {
    fn from(method: basic::Deliver) -> Self {
        Self::BasicDeliver(method)
    }
}

impl From<basic::Get> for Method {
    fn from(method: basic::Get) -> Self {
        Self::BasicGet(method)
    }
}

impl From<basic::GetOk> for Method {
    fn from(method: basic::GetOk) -> Self {
        Self::BasicGetOk(method)
    }
}

impl From<basic::GetEmpty> for Method {
    fn from(method: basic::GetEmpty) -> Self {
        Self::BasicGetEmpty(method)
    }
}

impl From<basic::Ack> for Method {
    fn from(method: basic::Ack) -> Self {
        Self::BasicAck(method)
    }
}

impl From<basic::Reject> for Method {
    fn from(method: basic::Reject) -> Self {
        Self::BasicReject(method)
    }
}

impl From<basic::RecoverAsync> for Method {
    fn from(method: basic::RecoverAsync) -> Self {
        Self::BasicRecoverAsync(method)
    }
}

impl From<basic::Recover> for Method {
    fn from(method: basic::Recover) -> Self {
        Self::BasicRecover(method)
    }
}

impl From<basic::RecoverOk> for Method {
    fn from(method: basic::RecoverOk) -> Self {
        Self::BasicRecoverOk(method)
    }
}

impl From<basic::Nack> for Method {
    fn from(method: basic::Nack) -> Self {
        Self::BasicNack(method)
    }
}

impl From<confirm::Select> for Method {
    fn from(method: confirm::Select) -> Self {
        Self::ConfirmSelect(method)
    }
}

impl From<confirm::SelectOk> for Method {
    fn from(method: confirm::SelectOk) -> Self {
        Self::ConfirmSelectOk(method)
    }
}

impl From<tx::Select> for Method {
    fn from(method: tx::Select) -> Self {
        Self::TxSelect(method)
    }
}

impl From<tx::SelectOk> for Method {
    fn from(method: tx::SelectOk) -> Self {
        Self::TxSelectOk(method)
    }
}

impl From<tx::Commit> for Method {
    fn from(method: tx::Commit) -> Self {
        Self::TxCommit(method)
    }
}

impl From<tx::CommitOk> for Method {
    fn from(method: tx::CommitOk) -> Self {
        Self::TxCommitOk(method)
    }
}

impl From<tx::Rollback> for Method {
    fn from(method: tx::Rollback) -> Self {
        Self::TxRollback(method)
    }
}

impl From<tx::RollbackOk> for Method {
    fn from(method: tx::RollbackOk) -> Self {
        Self::TxRollbackOk(method)
    }
}
