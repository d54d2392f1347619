//! Connecting: plain, TLS, logins, vhosts, tuning, and how connections and channels end.

use std::sync::Arc;

use lapin::options::*;
use lapin::tcp::OwnedTLSConfig;
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use lapin::{Connection, ErrorKind, ExchangeKind};

use super::Outcome;
use crate::world::*;

const LOGIN_REFUSED: &str = "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. \
    For details see the broker logfile.";

pub async fn plain(world: &World) -> Outcome {
    let connection = world.connect().await?;
    assert!(connection.status().connected());
    daily_work(&connection).await
}

/// Declares, publishes with a confirm and gets something bigger than a frame.
async fn daily_work(connection: &Connection) -> Outcome {
    let channel = connection.create_channel().await?;
    let queue = queue(&channel, FieldTable::default()).await?;
    let body = "0123456789abcdef".repeat(20_000);
    assert!(enqueue(&channel, &queue, body.as_bytes()).await?.is_ack());
    assert_eq!(bodies(&channel, &queue).await?, [body]);
    Ok(())
}

pub async fn wrong_password(world: &World) -> Outcome {
    let mut uri: AMQPUri = world.target.amqp_url.parse()?;
    uri.authority.userinfo.password = "wrong".into();
    login_refused(world.connect_to(uri, OwnedTLSConfig::default()).await)
}

pub async fn unknown_user(world: &World) -> Outcome {
    let mut uri: AMQPUri = world.target.amqp_url.parse()?;
    uri.authority.userinfo.username = "nobody-of-that-name".into();
    login_refused(world.connect_to(uri, OwnedTLSConfig::default()).await)
}

fn login_refused(result: Outcome<Arc<Connection>>) -> Outcome {
    not_opened(result, 403, LOGIN_REFUSED)
}

fn not_opened(result: Outcome<Arc<Connection>>, code: u16, text: &str) -> Outcome {
    let error = result.err().ok_or("connected")?;
    refused::<()>(Err(*error.downcast::<lapin::Error>()?), code, text)
}

pub async fn wrong_vhost(world: &World) -> Outcome {
    let mut uri: AMQPUri = world.target.amqp_url.parse()?;
    uri.vhost = "no-such-vhost".into();
    let result = world.connect_to(uri, OwnedTLSConfig::default()).await;
    not_opened(result, 530, "NOT_ALLOWED - vhost no-such-vhost not found")
}

pub async fn negotiated_limits(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let configuration = connection.configuration();
    assert_eq!(configuration.frame_max(), 131_072);
    assert_eq!(configuration.channel_max(), 2047);
    assert_eq!(configuration.heartbeat(), 60);
    Ok(())
}

pub async fn update_secret(world: &World) -> Outcome {
    let connection = world.connect().await?;
    connection
        .update_secret("a new secret".into(), "it was time".into())
        .await?;
    daily_work(&connection).await
}

pub async fn close_and_connect_again(world: &World) -> Outcome {
    for _ in 0..3 {
        let connection = world.connect().await?;
        let channel = connection.create_channel().await?;
        channel.close(200, "done".into()).await?;
        connection.close(200, "done".into()).await?;
        assert!(!connection.status().connected());
    }
    Ok(())
}

pub async fn many_channels(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let mut channels = Vec::new();
    for number in 0..100 {
        let channel = connection.create_channel().await?;
        let queue = queue(&channel, FieldTable::default()).await?;
        publish(&channel, "", queue.as_str(), format!("{number}").as_bytes()).await?;
        channels.push((channel, queue));
    }
    for (number, (channel, queue)) in channels.iter().enumerate() {
        assert_eq!(bodies(channel, queue).await?, [format!("{number}")]);
    }
    Ok(())
}

pub async fn channel_error_costs_one_channel(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (fine, failing) = (
        connection.create_channel().await?,
        connection.create_channel().await?,
    );
    let queue = queue(&fine, FieldTable::default()).await?;
    let text = format!(
        "NOT_FOUND - no queue 'nonesuch' in vhost '{}'",
        world.vhost()?
    );
    let result = failing
        .queue_declare("nonesuch".into(), PASSIVE, FieldTable::default())
        .await;
    refused(result, 404, &text)?;
    let after = failing
        .basic_get(queue.clone(), BasicGetOptions::default())
        .await;
    assert!(after.is_err_and(|error| matches!(error.kind(), ErrorKind::InvalidChannelState(..))));
    publish(&fine, "", queue.as_str(), b"x").await?;
    assert_eq!(bodies(&fine, &queue).await?, ["x"]);
    daily_work(&connection).await
}

pub async fn connection_error_costs_all_channels(world: &World) -> Outcome {
    let connection = world.connect().await?;
    let (one, two) = (
        connection.create_channel().await?,
        connection.create_channel().await?,
    );
    let result = one.exchange_declare(
        fresh("exchange"),
        ExchangeKind::Custom("nonesuch".into()),
        AUTO_DELETE,
        FieldTable::default(),
    );
    refused(
        result.await,
        503,
        "COMMAND_INVALID - unknown exchange type 'nonesuch'",
    )?;
    assert!(
        two.queue_declare("".into(), EXCLUSIVE, FieldTable::default())
            .await
            .is_err()
    );
    assert!(!connection.status().connected());
    Ok(())
}

async fn over_tls(
    world: &World,
    url: &Option<String>,
    certificate: Certificate,
) -> Outcome<Arc<Connection>> {
    let uri = url.as_deref().unwrap_or_default().parse()?;
    world.connect_to(uri, world.tls(certificate)?).await
}

/// The connection may seem to open under TLS 1.3 before the broker has looked at the certificate; it
/// never gets as far as AMQP.
fn not_let_in(result: Outcome<Arc<Connection>>) -> Outcome {
    match result {
        Ok(_) => Err("let in".into()),
        Err(_) => Ok(()),
    }
}

pub async fn tls(world: &World) -> Outcome {
    daily_work(&*over_tls(world, &world.target.amqps_url, Certificate::None).await?).await
}

pub async fn tls_with_certificate(world: &World) -> Outcome {
    daily_work(&*over_tls(world, &world.target.amqps_url, Certificate::Client).await?).await
}

pub async fn tls_with_a_strangers_certificate(world: &World) -> Outcome {
    not_let_in(over_tls(world, &world.target.amqps_url, Certificate::Stranger).await)
}

pub async fn tls_wrong_password(world: &World) -> Outcome {
    let mut uri: AMQPUri = world
        .target
        .amqps_url
        .as_deref()
        .unwrap_or_default()
        .parse()?;
    uri.authority.userinfo.password = "wrong".into();
    login_refused(world.connect_to(uri, world.tls(Certificate::None)?).await)
}

pub async fn required_certificate(world: &World) -> Outcome {
    daily_work(&*over_tls(world, &world.target.amqps_required_url, Certificate::Client).await?)
        .await
}

pub async fn required_certificate_missing(world: &World) -> Outcome {
    not_let_in(over_tls(world, &world.target.amqps_required_url, Certificate::None).await)
}

pub async fn required_certificate_of_a_stranger(world: &World) -> Outcome {
    not_let_in(
        over_tls(
            world,
            &world.target.amqps_required_url,
            Certificate::Stranger,
        )
        .await,
    )
}
