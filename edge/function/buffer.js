// The class Buffer, as Node has it and CloudFront's runtime 2.0 documents it. It
// is run when a function first names it. native has what is made of bytes.
(function (native) {
  "use strict";
  const max = native.max;
  function sized(n) {
    if (typeof n !== "number" || !(n >= 0)) throw new TypeError("Buffer: the size must be a number from 0");
    if (n > max) throw new RangeError("Buffer: more than a run may make");
    native.charge(n);
    return n;
  }
  function offset(buf, at, width) {
    if (at === undefined) at = 0;
    if (!Number.isInteger(at) || at < 0 || at + width > buf.length) throw new RangeError("index out of range");
    return at;
  }
  // As a constructor or a function Node deprecates it, and what is older calls it so.
  function Buffer(value, enc, length) { return new Bytes(value, enc, length); }
  class Bytes extends Uint8Array {
    constructor(value, enc, length) {
      if (typeof value === "string") super(native.decode(value, enc));
      else if (typeof value === "number") super(sized(value));
      else super(value, enc, length);
    }
    static from(value, enc, length) {
      if (typeof value === "string") return new Buffer(native.decode(value, enc));
      if (value instanceof ArrayBuffer) return new Buffer(value, enc, length);
      if (value && value.type === "Buffer" && Array.isArray(value.data)) value = value.data;
      if (value === null || typeof value !== "object") throw new TypeError("Buffer.from: expected a string, an array or a buffer");
      if (value instanceof String) return Buffer.from(String(value), enc);
      if (value.length === undefined) throw new TypeError("Buffer.from: expected a string, an array or a buffer");
      const out = new Buffer(sized(value.length || 0));
      for (let i = 0; i < out.length; i++) out[i] = value[i];
      return out;
    }
    static alloc(size, fill, enc) {
      const out = new Buffer(sized(size));
      return fill === undefined ? out : out.fill(fill, 0, out.length, enc);
    }
    static allocUnsafe(size) { return new Buffer(sized(size)); }
    static allocUnsafeSlow(size) { return new Buffer(sized(size)); }
    static byteLength(value, enc) { return typeof value === "string" ? native.decode(value, enc).byteLength : value.byteLength; }
    static compare(a, b) { return Buffer.prototype.compare.call(a, b); }
    static concat(list, total) {
      if (total === undefined) { total = 0; for (const b of list) total += b.length; }
      const out = new Buffer(sized(total));
      let at = 0;
      for (const b of list) {
        const left = total - at;
        if (left <= 0) break;
        out.set(b.length > left ? b.subarray(0, left) : b, at);
        at += b.length;
      }
      return out;
    }
    static isBuffer(x) { return x instanceof Buffer; }
    static isEncoding(enc) { return native.known(enc); }

    toString(enc, start, end) { return native.encode(this.subarray(start || 0, end === undefined ? this.length : end), enc); }
    toLocaleString(enc, start, end) { return this.toString(enc, start, end); }
    toJSON() { native.whole(this); return { type: "Buffer", data: Array.prototype.slice.call(this) }; }
    slice(start, end) { return this.subarray(start, end); }
    equals(other) { return this.compare(other) === 0; }
    compare(other, start, end, from, to) {
      const a = from === undefined ? this : this.subarray(from, to), b = start === undefined ? other : other.subarray(start, end);
      const n = Math.min(a.length, b.length);
      for (let i = 0; i < n; i++) if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1;
      return a.length === b.length ? 0 : a.length < b.length ? -1 : 1;
    }
    copy(target, at, start, end) {
      at = at || 0;
      const part = this.subarray(start || 0, end === undefined ? this.length : end).subarray(0, Math.max(0, target.length - at));
      target.set(part, at);
      return part.length;
    }
    fill(value, start, end, enc) {
      if (typeof start === "string") { enc = start; start = 0; end = this.length; }
      if (typeof end === "string") { enc = end; end = this.length; }
      if (typeof value === "string") value = Buffer.from(value, enc);
      start = start || 0;
      end = end === undefined ? this.length : end;
      if (typeof value !== "object") { super.fill(value, start, end); return this; }
      for (let i = start; i < end && value.length > 0; i++) this[i] = value[(i - start) % value.length];
      return this;
    }
    write(text, at, length, enc) {
      if (typeof at === "string") { enc = at; at = 0; length = undefined; }
      if (typeof length === "string") { enc = length; length = undefined; }
      at = at || 0;
      const b = Buffer.from(text, enc), n = Math.max(0, Math.min(b.length, this.length - at, length === undefined ? b.length : length));
      this.set(b.subarray(0, n), at);
      return n;
    }
    indexOf(value, from, enc) {
      if (typeof from === "string") { enc = from; from = 0; }
      if (typeof value === "number") return super.indexOf(value & 255, from || 0);
      return native.index(this, Buffer.from(value, enc), from || 0, false);
    }
    lastIndexOf(value, from, enc) {
      if (typeof from === "string") { enc = from; from = undefined; }
      if (typeof value === "number") return super.lastIndexOf(value & 255, from === undefined ? this.length : from);
      return native.index(this, Buffer.from(value, enc), from === undefined ? this.length : from, true);
    }
    includes(value, from, enc) { return this.indexOf(value, from, enc) >= 0; }
    swap16() { return swap(this, 2); }
    swap32() { return swap(this, 4); }
    swap64() { return swap(this, 8); }
    readUInt8(at) { return this[offset(this, at, 1)]; }
    readInt8(at) { return this.readUInt8(at) << 24 >> 24; }
    writeUInt8(value, at) { at = offset(this, at, 1); this[at] = value; return at + 1; }
    writeInt8(value, at) { return this.writeUInt8(value, at); }
    readUIntLE(at, n) { let x = 0; for (let i = n - 1; i >= 0; i--) x = x * 256 + this[offset(this, at, n) + i]; return x; }
    readUIntBE(at, n) { let x = 0; for (let i = 0; i < n; i++) x = x * 256 + this[offset(this, at, n) + i]; return x; }
    readIntLE(at, n) { return signed(this.readUIntLE(at, n), n); }
    readIntBE(at, n) { return signed(this.readUIntBE(at, n), n); }
    writeUIntLE(value, at, n) { at = offset(this, at, n); for (let i = 0; i < n; i++, value = Math.floor(value / 256)) this[at + i] = value; return at + n; }
    writeUIntBE(value, at, n) { at = offset(this, at, n); for (let i = n - 1; i >= 0; i--, value = Math.floor(value / 256)) this[at + i] = value; return at + n; }
    writeIntLE(value, at, n) { return this.writeUIntLE(value, at, n); }
    writeIntBE(value, at, n) { return this.writeUIntBE(value, at, n); }
  }
  function signed(x, n) { return x >= Math.pow(2, 8 * n - 1) ? x - Math.pow(2, 8 * n) : x; }
  function swap(buf, n) {
    if (buf.length % n) throw new RangeError("Buffer size must be a multiple of " + 8 * n + "-bits");
    for (let i = 0; i < buf.length; i += n) buf.subarray(i, i + n).reverse();
    return buf;
  }
  const p = Bytes.prototype;
  Object.setPrototypeOf(Buffer, Bytes);
  Buffer.prototype = p;
  Object.defineProperty(p, "constructor", { value: Buffer, writable: true, configurable: true });
  function method(name, f) { Object.defineProperty(p, name, { value: f, writable: true, configurable: true }); }
  for (const [bits, n] of [["16", 2], ["32", 4]]) {
    for (const order of ["LE", "BE"]) {
      method("readUInt" + bits + order, function (at) { return this["readUInt" + order](at, n); });
      method("readInt" + bits + order, function (at) { return this["readInt" + order](at, n); });
      method("writeUInt" + bits + order, function (value, at) { return this["writeUInt" + order](value, at, n); });
      method("writeInt" + bits + order, function (value, at) { return this["writeInt" + order](value, at, n); });
    }
  }
  for (const [name, kind, n] of [["Float", "Float32", 4], ["Double", "Float64", 8]]) {
    for (const order of ["LE", "BE"]) {
      method("read" + name + order, function (at) {
        return new DataView(this.buffer, this.byteOffset, this.length)["get" + kind](offset(this, at, n), order === "LE");
      });
      method("write" + name + order, function (value, at) {
        at = offset(this, at, n);
        new DataView(this.buffer, this.byteOffset, this.length)["set" + kind](at, value, order === "LE");
        return at + n;
      });
    }
  }
  for (const name of Object.getOwnPropertyNames(p)) {
    if (name.includes("UInt")) method(name.replace("UInt", "Uint"), p[name]);
  }
  return Buffer;
})
