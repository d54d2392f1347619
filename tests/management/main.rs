//! The management API as its clients see it: statuses, bodies and reasons exactly as RabbitMQ 3.10
//! has them, but where that is told. Run it against any broker with `WARREN_TEST_URL=HOST:PORT` and
//! `WARREN_TEST_MANAGEMENT=IP:PORT`.

#[path = "../support/mod.rs"]
mod support;

mod access;
mod definitions;
mod limits;
mod parameters;
mod policies;
mod policy_keys;
mod protocol;
mod restart;
mod users;
mod vhosts;

use support::*;

/// The broker that all tests share, and its API.
fn site() -> Option<(&'static Broker, Http)> {
    let broker = Broker::shared();
    Some((broker, broker.management()?))
}

/// A vhost that nobody else uses; gone with this.
struct Vhost {
    http: Http,
    name: String,
}

impl Vhost {
    #[track_caller]
    fn new(http: &Http) -> Self {
        let name = unique("vhost");
        assert_eq!(
            http.put(&format!("/vhosts/{name}"), serde_json::json!({})),
            201
        );
        Vhost {
            http: http.clone(),
            name,
        }
    }

    /// A client in it, with channel 1 open.
    #[track_caller]
    fn client(&self, broker: &Broker) -> Client {
        let login = Login {
            vhost: self.name.clone(),
            ..Login::default()
        };
        let mut client = login.open(broker.address());
        client.open_channel(1);
        client
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        self.http.delete(&format!("/vhosts/{}", self.name));
    }
}

/// A user that nobody else uses, with password `secret`; gone with this.
struct Person {
    http: Http,
    name: String,
}

impl Person {
    #[track_caller]
    fn new(http: &Http, tags: &str) -> Self {
        let name = unique("user");
        let document = serde_json::json!({"password": "secret", "tags": tags});
        assert_eq!(http.put(&format!("/users/{name}"), document), 201);
        Person {
            http: http.clone(),
            name,
        }
    }

    fn login(&self) -> Login {
        Login {
            user: self.name.clone(),
            password: "secret".into(),
            ..Login::default()
        }
    }

    fn api(&self) -> Http {
        self.http.login(&self.name, "secret")
    }

    #[track_caller]
    fn may(&self, vhost: &str, expression: &str) {
        let path = format!("/permissions/{}/{}", http::encoded(vhost), self.name);
        let document = serde_json::json!({
            "configure": expression, "write": expression, "read": expression,
        });
        assert!(self.http.put(&path, document) < 300);
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.http.delete(&format!("/users/{}", self.name));
    }
}
