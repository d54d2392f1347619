//! A broker that is told to end.

use crate::support::*;

/// Its end is nobody's fault: one line says it, however many connections there are.
#[test]
fn an_end_closes_every_connection_and_is_logged_once() {
    let Some(mut broker) = Setup::default().start() else {
        return;
    };
    let clients = [broker.client(), broker.client(), broker.client()];
    broker.signal("TERM");
    for mut client in clients {
        let text = "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'";
        client.expect_connection_close(320, text, "");
    }
    assert!(broker.wait_for_exit().success());
    let line = broker.wait_for_line("closing all connections");
    assert!(line.contains("connections=3"), "{line}");
    assert_eq!(broker.count_lines(" ERROR "), 0);
}
