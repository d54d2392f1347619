//! The cases, by subject. Each is an async function of a [`World`]; what it asserts is what
//! RabbitMQ 3.10 does.

mod connecting;
mod consuming;
mod dead_letters;
mod limits;
mod publishing;
mod routing;
mod settling;
mod streams;
mod topology;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::target::Target;
use crate::world::World;

/// How a case or a step of it ends.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A case under way.
pub type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// A case, ready to run.
pub struct Case {
    pub name: &'static str,
    /// What it needs and the target lacks.
    pub needs: fn(&Target) -> Option<&'static str>,
    pub body: fn(Arc<World>) -> Running,
}

/// A list of cases, each named by its path.
macro_rules! cases {
    ($needs:expr; $($module:ident: $($name:ident),+ $(,)?);+ $(;)?) => {
        vec![$($(Case {
            name: concat!(stringify!($module), "::", stringify!($name)),
            needs: $needs,
            body: |world| Box::pin(async move { $module::$name(&world).await }),
        }),+),+]
    };
}

/// All cases, in the order in which they run.
pub fn all() -> Vec<Case> {
    let mut all = cases! { |_| None;
        connecting: plain, wrong_password, unknown_user, wrong_vhost, negotiated_limits, update_secret,
            close_and_connect_again, many_channels, channel_error_costs_one_channel,
            connection_error_costs_all_channels;
        topology: server_named_queues, declare_again_and_differently, passive_declare_of_none, reserved_names,
            exclusive_queue_is_locked, auto_delete_queue, purge_and_delete_count, delete_if_empty_and_if_unused,
            invalid_arguments;
        routing: direct, fanout, topic, headers, exchange_to_exchange, alternate_exchange, internal_exchange,
            auto_delete_exchange, publish_to_no_exchange, unknown_exchange_type;
        publishing: confirms, wait_for_confirms, returned_with_confirm, nack_by_a_full_queue, bodies_of_all_sizes,
            all_properties, header_types, transactions, tx_and_confirms_exclude_each_other, immediate,
            invalid_expiration, wrong_user_id;
        consuming: in_order, to_the_end_of_a_cancel, cancel_notification, prefetch_each, prefetch_global, priorities,
            exclusive, single_active_consumer, two_share_the_work, direct_reply_to, consumer_tag_twice;
        settling: get_and_ack, ack_multiple, nack_requeues_in_order, reject_to_its_place, unknown_delivery_tag,
            closing_gives_back, recover;
        dead_letters: rejected, expired, maxlen, expiration_is_kept, counted, with_routing_key;
        streams: from_each_kind_of_offset, many_readers, needs_a_prefetch;
        limits: queue_ttl, message_ttl, ttl_of_nought, queue_expiry, drop_head, max_bytes, reject_publish;
    };
    all.extend(cases! { |target| target.amqps_url.is_none().then_some("no --amqps-url");
        connecting: tls, tls_with_certificate, tls_with_a_strangers_certificate, tls_wrong_password;
    });
    all.extend(cases! { |target| target.amqps_required_url.is_none().then_some("no --amqps-required-url");
        connecting: required_certificate, required_certificate_missing, required_certificate_of_a_stranger;
    });
    all
}
