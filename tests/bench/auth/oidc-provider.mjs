// The peer: npm `oidc-provider` with the in-memory adapter it ships. Arguments: the port, and how many clients.
import Provider from 'oidc-provider';

const [port, count] = process.argv.slice(2).map(Number);
const clients = Array.from({ length: count }, (_, n) => ({
  client_id: `client${n}`,
  client_secret: `secret-of-client${n}`,
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
}));
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients,
  features: {
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    devInteractions: { enabled: false },
  },
});
provider.listen(port, '127.0.0.1');
