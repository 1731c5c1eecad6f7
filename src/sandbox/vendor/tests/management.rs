//! Policies, settings and an administrator's act.

use http::StatusCode;
use serde_json::{Value, json};

use super::client::{Reply, operation, start, vendor_token};
use crate::{
    route::Operation,
    sandbox::{
        vendor::Vendor,
        world::seed::{ACME, GLOBEX, GRACE},
    },
};

async fn call(vendor: &Vendor, each: Operation, tenant: Option<&str>, body: Value) -> Reply {
    let token = vendor_token(vendor).await;
    let mut call = operation(each, GRACE.id, &body).bearer(&token);
    if let Some(tenant) = tenant {
        call = call.header("frontegg-tenant-id", tenant);
    }
    call.send(vendor).await
}

#[tokio::test]
async fn a_tenants_policy_is_made_once_and_changed() {
    let vendor = start().await;
    let acme = Some(ACME);
    let nothing = || json!({});
    let reply = call(&vendor, Operation::PolicyGet, acme, nothing()).await;
    assert_eq!(reply.status, StatusCode::NOT_FOUND);
    let reply = call(
        &vendor,
        Operation::PolicyUpdate,
        acme,
        json!({"enforceMFAType": "Force"}),
    );
    assert_eq!(reply.await.status, StatusCode::NOT_FOUND);
    let reply = call(&vendor, Operation::PolicyCreate, acme, nothing()).await;
    assert_eq!(reply.status, StatusCode::CREATED);
    assert_eq!(reply.json()["enforceMFAType"], "Force");
    let reply = call(&vendor, Operation::PolicyCreate, acme, nothing()).await;
    assert_eq!(reply.status, StatusCode::CONFLICT);
    let reply = call(&vendor, Operation::PolicyUpdate, acme, nothing()).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
    let reply = call(
        &vendor,
        Operation::PolicyUpdate,
        acme,
        json!({"enforceMFAType": "Maybe"}),
    );
    assert_eq!(reply.await.status, StatusCode::BAD_REQUEST);
    let change = json!({"enforceMFAType": "DontForce", "mfaDeviceExpiration": 60});
    let reply = call(&vendor, Operation::PolicyUpdate, acme, change).await;
    assert_eq!(reply.status, StatusCode::OK);
    let reply = call(&vendor, Operation::PolicyGet, acme, nothing()).await;
    assert_eq!(reply.json()["mfaDeviceExpiration"], 60);
    let change = json!({"allowRememberMyDevice": false});
    let reply = call(&vendor, Operation::PolicyUpsert, acme, change).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(reply.json()["enforceMFAType"], "DontForce");
    assert_eq!(reply.json()["allowRememberMyDevice"], false);
}

#[tokio::test]
async fn without_a_tenant_the_policy_is_the_environments() {
    let vendor = start().await;
    let change = json!({"enforceMFAType": "ForceExceptSAML"});
    let reply = call(&vendor, Operation::PolicyUpsert, None, change).await;
    assert_eq!(reply.status, StatusCode::OK);
    for get in [Operation::PolicyGet, Operation::PolicyEnvironmentGet] {
        let reply = call(&vendor, get, None, json!({})).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.json()["enforceMFAType"], "ForceExceptSAML");
    }
}

#[tokio::test]
async fn settings_and_strategies_are_read_and_changed() {
    let vendor = start().await;
    let change = json!({"sms": {"active": false, "tokenLifetimeSeconds": 600}});
    let reply = call(&vendor, Operation::ConfigUpdate, None, change).await;
    assert_eq!(reply.status, StatusCode::CREATED);
    let reply = call(&vendor, Operation::ConfigGet, None, json!({})).await;
    assert_eq!(reply.json()["sms"]["tokenLifetimeSeconds"], 600);
    assert_eq!(reply.json()["email"]["active"], true);
    let reply = call(&vendor, Operation::ConfigUpdate, None, json!({"sms": {}})).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);

    let change = json!({"strategy": "SMS", "isActive": false});
    let reply = call(&vendor, Operation::StrategiesSet, None, change).await;
    assert_eq!((reply.status, reply.body.len()), (StatusCode::CREATED, 0));
    let reply = call(&vendor, Operation::StrategiesGet, None, json!({})).await;
    let body = reply.json();
    let active = |name: &str| {
        let strategies = body["strategies"].as_array().unwrap().iter();
        let mut found = strategies.filter(|strategy| strategy["strategy"] == name);
        found.next().unwrap()["isActive"].as_bool().unwrap()
    };
    assert!(!active("SMS"));
    assert!(active("EmailCode"));
}

#[tokio::test]
async fn an_administrator_removes_all_factors_of_a_user_of_the_tenant() {
    let vendor = start().await;
    let unenroll = Operation::UserUnenroll;
    let reply = call(&vendor, unenroll, Some(GLOBEX), json!({})).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    let reply = call(&vendor, unenroll, Some(ACME), json!({})).await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(!vendor.user(GRACE.id).unwrap().is_enrolled());
}
