//! Where callers connect: all kinds of listeners of one gateway, and the one that it refuses.

use std::net::TcpListener;

use mfa_gateway::sandbox::{
    certs::{Authority, LOOPBACK},
    world::seed::ADA,
};

use crate::support::{Client, Program, Rig, leave_out, recover};

#[tokio::test]
async fn listeners_of_every_kind_are_one_gateway_with_one_count() {
    if TcpListener::bind("[::1]:0").is_err() {
        return leave_out("a listener on [::1]: this machine has no IPv6");
    }
    let authority = Authority::new("listeners").unwrap();
    let identity = authority.issue(LOOPBACK).unwrap();
    let builder = Rig::builder().quota("email", 8);
    let certificate = builder.file("tls.crt", &identity.certificate_pem);
    let key = builder.file("tls.key", &identity.key_pem);
    let socket = format!("{}/gateway.sock", builder.folder());
    let rig = builder
        .listeners(
            4,
            &format!(
                "[[listen]]\naddress = ['127.0.0.1:0', '[::1]:0', 'unix:{socket}']\n\
                 [[listen]]\naddress = '127.0.0.1:0'\n\
                 [listen.tls]\ncertificate_file = '{certificate}'\nprivate_key_file = '{key}'\n"
            ),
        )
        .start()
        .await;
    let at = |index: usize| rig.addresses[index].parse().unwrap();
    let clients = [
        Client::Tcp(at(0)),
        Client::Tcp(at(1)),
        Client::Unix(socket.into()),
        Client::Tls(at(3), authority.der().clone()),
    ];
    assert!(
        rig.addresses[1].starts_with("[::1]:"),
        "{:?}",
        rig.addresses
    );
    let guess = || recover(ADA.email, "wrong");
    for client in &clients {
        for call in [guess(), guess().http2()] {
            let reply = client.send(call.clone()).await.unwrap();
            rig.check(&call, &reply);
            reply.assert_passed(401);
        }
    }
    for client in &clients {
        let reply = client.send(guess()).await.unwrap();
        reply.assert_refused(429, "rate-limited");
    }
}

#[tokio::test]
async fn where_others_can_reach_it_nobody_is_served_without_callers() {
    let rig = Rig::start().await;
    let configuration = rig.path("gateway.toml");
    let configuration = configuration.to_str().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let set = format!("listen.address={address}");
        let arguments = ["run", "-c", configuration, "--set", &set];
        let mut open = Program::start(arguments, &[]);
        assert_eq!(open.end().await.code(), Some(2), "{address}");
        let said = open.stderr();
        for part in [
            &format!("{address} is reached from other machines"),
            "add [[callers]] with a name and a token_file",
            "or listen on 127.0.0.1 or a unix socket",
        ] {
            assert!(said.contains(part), "{part} is not in {said}");
        }
    }
}
