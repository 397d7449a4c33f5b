// @azure/msal-node and @azure/identity.

import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { X509Certificate } from "node:crypto";
import assert from "node:assert/strict";
import { ConfidentialClientApplication, CryptoProvider } from "@azure/msal-node";
import {
  AuthorizationCodeCredential,
  ClientAssertionCredential,
  ClientCertificateCredential,
  ClientSecretCredential,
  OnBehalfOfCredential,
  WorkloadIdentityCredential,
} from "@azure/identity";

const settings = JSON.parse(process.env.INTEROP);
const { https, tenant, api, ui, alice } = settings;
const authority = `${https}/${tenant}`;
const armScope = "https://management.azure.com/.default";
const apiScope = `api://${api}/.default`;
const read = (name) => readFileSync(settings[name], "utf8");
const federated = read("federated_file");
const acr = { secret: "1", certificate: "2", federated: "2" };

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Runs a named check, and waits until its requests have been looked at. */
async function check(client, grant, credential, run) {
  let error = null;
  try {
    await run();
  } catch (problem) {
    console.error(problem);
    error = `${problem.name}: ${problem.message}`;
  }
  console.log(JSON.stringify({ client, grant, credential, error }));
  await answers.next();
}

function expect(token, expected) {
  const claims = JSON.parse(Buffer.from(token.split(".")[1], "base64url").toString());
  const found = Object.fromEntries(Object.keys(expected).map((name) => [name, claims[name]]));
  assert.deepEqual(found, expected);
}

async function signIn(url) {
  const response = await fetch(settings.sign_in, { method: "POST", body: url });
  const text = await response.text();
  assert.equal(response.status, 200, text);
  return new URL(text).searchParams.get("code");
}

// msal-node

const certificate = new X509Certificate(read("certificate_file"));
const credentials = {
  secret: (secret) => ({ clientSecret: secret }),
  certificate: () => ({
    clientCertificate: {
      thumbprintSha256: certificate.fingerprint256.replaceAll(":", ""),
      privateKey: read("key_file"),
    },
  }),
  federated: () => ({ clientAssertion: federated }),
};

function application(clientId, secret, credential, options = {}) {
  return new ConfidentialClientApplication({
    auth: {
      ...options,
      clientId,
      authority,
      knownAuthorities: [new URL(https).host],
      ...credentials[credential](secret),
    },
  });
}

for (const credential of Object.keys(credentials)) {
  await check("msal-node", "authorization code", credential, async () => {
    const app = application(ui, settings.ui_secret, credential);
    const { verifier, challenge } = await new CryptoProvider().generatePkceCodes();
    const request = { scopes: [apiScope], redirectUri: settings.redirect_uri };
    const url = await app.getAuthCodeUrl({
      ...request,
      codeChallenge: challenge,
      codeChallengeMethod: "S256",
    });
    const code = await signIn(url);
    const result = await app.acquireTokenByCode({ ...request, code, codeVerifier: verifier });
    expect(result.accessToken, { aud: api, oid: alice, azp: ui, azpacr: acr[credential] });
    assert.equal(result.account.username, "alice@contoso.example");
    const again = await app.acquireTokenSilent({
      scopes: [apiScope],
      account: result.account,
      forceRefresh: true,
    });
    expect(again.accessToken, { aud: api, oid: alice, azpacr: acr[credential] });
    assert.notEqual(again.accessToken, result.accessToken);
  });

  await check("msal-node", "client credentials", credential, async () => {
    const app = application(ui, settings.ui_secret, credential);
    const result = await app.acquireTokenByClientCredential({ scopes: [apiScope] });
    expect(result.accessToken, { aud: api, azp: ui, idtyp: "app", scp: undefined });
  });

  await check("msal-node", "on behalf of", credential, async () => {
    const app = application(api, settings.api_secret, credential);
    const result = await app.acquireTokenOnBehalfOf({
      oboAssertion: settings.assertion,
      scopes: [armScope],
    });
    const aud = "https://management.azure.com";
    expect(result.accessToken, { aud, oid: alice, appid: api, appidacr: acr[credential] });
  });
}

await check("msal-node", "on behalf of, with a capability", "secret", async () => {
  const app = application(api, settings.api_secret, "secret", { clientCapabilities: ["cp1"] });
  const result = await app.acquireTokenOnBehalfOf({
    oboAssertion: settings.assertion,
    scopes: [armScope],
  });
  expect(result.accessToken, { oid: alice, xms_cc: ["cp1"] });
});

await check("msal-node", "on behalf of, with claims", "secret", async () => {
  const capable = { clientCapabilities: ["cp1"] };
  const app = application(api, settings.api_secret, "secret", capable);
  const result = await app.acquireTokenOnBehalfOf({
    oboAssertion: settings.assertion,
    scopes: [armScope],
    claims: settings.claims,
  });
  expect(result.accessToken, { oid: alice, xms_cc: ["cp1"] });
});

await check("msal-node", "refusal of a wrong secret", "secret", async () => {
  const app = application(ui, "wrong", "secret");
  await assert.rejects(app.acquireTokenByClientCredential({ scopes: [apiScope] }), /7000215/);
});

await check("msal-node", "refusal without consent", "secret", async () => {
  const app = application(api, settings.api_secret, "secret");
  const request = { oboAssertion: settings.unconsented, scopes: [armScope] };
  await assert.rejects(app.acquireTokenOnBehalfOf(request), {
    name: "InteractionRequiredAuthError",
    subError: "consent_required",
  });
});

// @azure/identity

const options = { authorityHost: https, disableInstanceDiscovery: true };
const certificatePath = settings.pem_file;

await check("@azure/identity", "authorization code", "secret", async () => {
  const scope = `api://${api}/access_as_user`;
  const query = new URLSearchParams({
    client_id: ui,
    response_type: "code",
    scope: `${scope} openid offline_access`,
    redirect_uri: settings.redirect_uri,
  });
  const code = await signIn(`${authority}/oauth2/v2.0/authorize?${query}`);
  const secret = settings.ui_secret;
  const redirect = settings.redirect_uri;
  const credential = new AuthorizationCodeCredential(tenant, ui, secret, code, redirect, options);
  expect((await credential.getToken(scope)).token, { aud: api, oid: alice, azp: ui });
});

for (const [kind, credential] of Object.entries({
  secret: () => new ClientSecretCredential(tenant, ui, settings.ui_secret, options),
  certificate: () => new ClientCertificateCredential(tenant, ui, { certificatePath }, options),
  federated: () => new ClientAssertionCredential(tenant, ui, async () => federated, options),
  "federated token file": () =>
    new WorkloadIdentityCredential({
      ...options,
      tenantId: tenant,
      clientId: ui,
      tokenFilePath: settings.federated_file,
    }),
})) {
  await check("@azure/identity", "client credentials", kind, async () => {
    const { token } = await credential().getToken(apiScope);
    expect(token, { aud: api, azp: ui, idtyp: "app", roles: ["Subscriptions.Read.All"] });
  });
}

const onBehalfOf = (credential) =>
  new OnBehalfOfCredential({
    ...options,
    tenantId: tenant,
    clientId: api,
    userAssertionToken: settings.assertion,
    ...credential,
  });

for (const [kind, credential] of Object.entries({
  secret: { clientSecret: settings.api_secret },
  certificate: { certificatePath },
  federated: { getAssertion: async () => federated },
})) {
  await check("@azure/identity", "on behalf of", kind, async () => {
    const { token } = await onBehalfOf(credential).getToken(armScope);
    expect(token, { aud: "https://management.azure.com", oid: alice, appid: api });
  });
}

await check("@azure/identity", "on behalf of, with a capability", "secret", async () => {
  const credential = onBehalfOf({ clientSecret: settings.api_secret });
  const { token } = await credential.getToken(armScope, { enableCae: true });
  expect(token, { oid: alice, xms_cc: ["cp1"] });
});

await check("@azure/identity", "on behalf of, with claims", "secret", async () => {
  const credential = onBehalfOf({ clientSecret: settings.api_secret });
  const asked = { claims: settings.claims, enableCae: true };
  const { token } = await credential.getToken(armScope, asked);
  expect(token, { oid: alice, xms_cc: ["cp1"] });
});

process.exit(0);
