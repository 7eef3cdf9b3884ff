'use strict';
// What step 6 of the reference architecture asks a function for: find the best
// region by its name in the DNS, and send the request there, so that clients know
// one name and one way to authenticate. It is written as for Lambda@Edge and runs
// there unchanged; here the module dns answers from the edge's own map, and asks
// nobody.
const dns = require('dns').promises;

exports.handler = async (event) => {
  const cf = event.Records[0].cf;
  const request = cf.request;
  const name = 'origin.' + cf.config.distributionDomainName;
  let best;
  try {
    best = (await dns.resolveCname(name))[0];
  } catch (err) {
    console.log('no answer for ' + name + ': ' + err.code);
    return request; // to the origin as it is configured
  }
  request.origin.custom.domainName = best;
  request.headers.host = [{ key: 'Host', value: best }];
  return request;
};
