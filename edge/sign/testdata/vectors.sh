#!/bin/sh
# vectors.sh writes vectors.txt: grants as CloudFront's developer guide has them
# made with openssl alone ("Create a URL signature using Perl", "... in a shell").
# One a line: name, key, the resource's policy or nothing, the query to append.
set -e
cd "$(dirname "$0")"
b64() { base64 -w0 | tr -- '+=/' '-_~'; }
sig() { openssl dgst "-$1" -sign "keys/$2.pem" -binary | b64; } # $1 hash, $2 key
canned='{"Statement":[{"Resource":"https://api.example.test/private/a.pdf?size=large","Condition":{"DateLessThan":{"AWS:EpochTime":1900000000}}}]}'
custom='{"Statement":[{"Resource":"http*://api.example.test/private/*","Condition":{"IpAddress":{"AWS:SourceIp":"192.0.2.0/24"},"DateGreaterThan":{"AWS:EpochTime":1700000000},"DateLessThan":{"AWS:EpochTime":1900000000}}}]}'
for key in rsa ec; do
	for hash in sha1 sha256; do
		more=; [ $hash = sha1 ] || more='&Hash-Algorithm=SHA256'
		echo "canned $key $hash size=large&Expires=1900000000&Signature=$(printf %s "$canned" | sig $hash $key)&Key-Pair-Id=$key$more"
		echo "custom $key $hash size=large&Policy=$(printf %s "$custom" | b64)&Signature=$(printf %s "$custom" | sig $hash $key)&Key-Pair-Id=$key$more"
	done
done > vectors.txt
