// Runs Azurite's blob service with one account and one container, prints its endpoint, and ends with standard input:
// a test that is killed leaves no server behind.
//
// Arguments: the folder Azurite is installed in, the folder for its data, account, key, container.
const [root, folder, account, key, container] = process.argv.slice(-5);
process.argv.splice(1, Infinity, 'azurite-blob', '--blobHost', '127.0.0.1', '--blobPort', '0', '--location', folder,
  '--silent', '--skipApiVersionCheck', '--disableTelemetry');
process.env.AZURITE_ACCOUNTS = `${account}:${key}`;
const { BlobServerFactory } = require(`${root}/node_modules/azurite/dist/src/blob/BlobServerFactory`);

async function createContainer(endpoint) {
  const headers = { 'x-ms-date': new Date().toUTCString(), 'x-ms-version': '2021-08-06' };
  const signed = 'PUT' + '\n'.repeat(12)
    + Object.entries(headers).map(([name, value]) => `${name}:${value}\n`).join('')
    + `/${account}/${account}/${container}\nrestype:container`;
  const signature = require('crypto').createHmac('sha256', Buffer.from(key, 'base64')).update(signed).digest('base64');
  headers.authorization = `SharedKey ${account}:${signature}`;
  const reply = await fetch(`${endpoint}/${container}?restype=container`, { method: 'PUT', headers });
  if (reply.status !== 201) throw new Error(`${reply.status} ${await reply.text()}`);
}

async function main() {
  const server = await new BlobServerFactory().createServer();
  await server.start();
  const endpoint = `${server.getHttpServerAddress()}/${account}`;
  await createContainer(endpoint);
  console.log(endpoint);
  process.stdin.resume().on('end', () => process.exit(0));
}
main().catch((error) => { console.error(error); process.exit(1); });
