// What functions for Lambda@Edge take from Node's modules path, url and util, and what
// CloudFront Functions' runtime 1.0 had beside the language. It is run when a
// function first asks for a part of it.
(function (native) {
  "use strict";
  function normal(path) {
    const out = [], absolute = path.startsWith("/");
    for (const part of path.split("/")) {
      if (part === "" || part === ".") continue;
      if (part !== "..") out.push(part);
      else if (out.length && out[out.length - 1] !== "..") out.pop();
      else if (!absolute) out.push(part);
    }
    const tail = path.endsWith("/") && out.length ? "/" : "";
    return (absolute ? "/" : "") + out.join("/") + tail || (absolute ? "/" : ".");
  }
  const path = {
    sep: "/", delimiter: ":",
    normalize: normal,
    isAbsolute(p) { return p.startsWith("/"); },
    join(...parts) { return normal(parts.filter((p) => p !== "").join("/")); },
    resolve(...parts) {
      let out = "";
      for (const p of parts) out = p.startsWith("/") ? p : out + "/" + p;
      out = normal("/" + out);
      return out.length > 1 && out.endsWith("/") ? out.slice(0, -1) : out;
    },
    basename(p, ext) {
      const name = p.replace(/\/+$/, "").split("/").pop();
      return ext && name !== ext && name.endsWith(ext) ? name.slice(0, -ext.length) : name;
    },
    dirname(p) {
      const at = p.replace(/\/+$/, "").lastIndexOf("/");
      return at < 0 ? "." : p.slice(0, at).replace(/\/+$/, "") || "/";
    },
    extname(p) {
      const name = path.basename(p), at = name.lastIndexOf(".");
      return at > 0 ? name.slice(at) : "";
    },
    relative(from, to) {
      const a = path.resolve(from).split("/").filter(Boolean), b = path.resolve(to).split("/").filter(Boolean);
      while (a.length && b.length && a[0] === b[0]) { a.shift(); b.shift(); }
      return a.map(() => "..").concat(b).join("/");
    },
    parse(p) {
      const base = path.basename(p), ext = path.extname(p);
      const dir = p.replace(/\/+$/, "").includes("/") ? path.dirname(p) : "";
      return { root: p.startsWith("/") ? "/" : "", dir: dir, base: base, ext: ext, name: ext ? base.slice(0, -ext.length) : base };
    },
    format(o) {
      const dir = o.dir || o.root || "", base = o.base || (o.name || "") + (o.ext || "");
      return !dir ? base : dir === o.root ? dir + base : dir + "/" + base;
    },
  };
  path.posix = path;

  // parse is the one of before the URL standard, which most functions still use.
  function parse(text, withQuery) {
    const m = /^(?:([a-zA-Z][a-zA-Z0-9+.-]*:)?\/\/(?:([^@/?#]*)@)?([^/?#:]*)(?::(\d+))?)?([^?#]*)(\?[^#]*)?(#[^]*)?$/.exec(String(text).trim());
    const search = m[6] || null, host = m[3] === undefined ? null : m[3].toLowerCase();
    const query = search === null ? null : search.slice(1);
    const out = {
      protocol: m[1] ? m[1].toLowerCase() : null, slashes: m[3] === undefined ? null : true, auth: m[2] || null,
      host: host === null ? null : host + (m[4] ? ":" + m[4] : ""), port: m[4] || null, hostname: host,
      hash: m[7] || null, search: search, query: withQuery ? native.parseQuery(query || "") : query,
      pathname: m[5] || (host ? "/" : null),
    };
    out.path = (out.pathname || "") + (search || "") || null;
    out.href = format(out);
    return out;
  }
  function format(o) {
    if (typeof o === "string") return parse(o).href;
    if (typeof o.href === "string" && o.searchParams) return o.href;
    let host = o.host || (o.hostname || "") + (o.port ? ":" + o.port : "");
    if (host) host = "//" + (o.auth ? o.auth + "@" : "") + host;
    const query = o.query && typeof o.query === "object" ? native.writeQuery(o.query) : "";
    const search = o.search || (query && "?" + query);
    const protocol = o.protocol ? o.protocol.replace(/:?$/, ":") : "";
    return protocol + host + (o.pathname || "") + (search ? search.replace(/^\??/, "?") : "") + (o.hash ? o.hash.replace(/^#?/, "#") : "");
  }

  // resolve is the one of before the URL standard too (RFC 3986, section 5.2).
  function resolve(base, ref) {
    const b = parse(base), r = parse(ref);
    if (r.protocol || r.host) return (r.protocol ? "" : b.protocol || "") + r.href;
    const own = r.pathname || "", up = (b.pathname || "").replace(/[^/]*$/, "");
    const pathname = !own ? b.pathname : dotless(own.startsWith("/") ? own : (up || (b.host ? "/" : "")) + own);
    return format({ protocol: b.protocol, auth: b.auth, host: b.host, pathname: pathname, search: r.search || (own ? "" : b.search), hash: r.hash });
  }
  function dotless(p) {
    const out = [], all = p.split("/");
    all.forEach((part, i) => {
      if (part === "..") { if (out.length > 1 || out[0]) out.pop(); } else if (part !== ".") out.push(part);
      if (i === all.length - 1 && (part === "." || part === "..")) out.push("");
    });
    return out.join("/");
  }

  // EventEmitter calls what listens at once, in order. It and Stream, which pipes,
  // are functions: what is older than classes calls them on objects of its own.
  const listening = new WeakMap();
  function all(of) {
    if (!listening.has(of)) listening.set(of, new Map());
    return listening.get(of);
  }
  function EventEmitter() {}
  function add(of, name, f, first) {
    if (typeof f !== "function") throw new TypeError("the listener must be a function");
    const list = all(of).get(name) || [];
    all(of).set(name, first ? [f, ...list] : [...list, f]);
    return of;
  }
  function once(of, name, f) {
    const one = (...args) => { of.off(name, one); return f.apply(of, args); };
    one.listener = f;
    return one;
  }
  Object.assign(EventEmitter.prototype, {
    on(name, f) { return add(this, name, f); },
    prependListener(name, f) { return add(this, name, f, true); },
    once(name, f) { return add(this, name, once(this, name, f)); },
    prependOnceListener(name, f) { return add(this, name, once(this, name, f), true); },
    off(name, f) {
      const list = this.rawListeners(name), at = list.findLastIndex((x) => x === f || x.listener === f);
      if (at >= 0) all(this).set(name, list.filter((_, i) => i !== at));
      return this;
    },
    removeAllListeners(name) { name === undefined ? all(this).clear() : all(this).delete(name); return this; },
    emit(name, ...args) {
      const list = this.rawListeners(name);
      if (name === "error" && list.length === 0) throw args[0] instanceof Error ? args[0] : new Error("Unhandled error. (" + args[0] + ")");
      for (const f of list) f.apply(this, args);
      return list.length > 0;
    },
    rawListeners(name) { return all(this).get(name) || []; },
    listeners(name) { return this.rawListeners(name).map((f) => f.listener || f); },
    listenerCount(name) { return this.rawListeners(name).length; },
    eventNames() { return [...all(this).keys()].filter((name) => this.listenerCount(name) > 0); },
    setMaxListeners() { return this; },
  });
  EventEmitter.prototype.addListener = EventEmitter.prototype.on;
  EventEmitter.prototype.removeListener = EventEmitter.prototype.off;
  EventEmitter.EventEmitter = EventEmitter;

  function Stream() {}
  Stream.prototype = Object.create(EventEmitter.prototype, { constructor: { value: Stream, writable: true, configurable: true } });
  Stream.prototype.pipe = function (to, options) {
    this.on("data", (data) => to.write(data));
    if (!options || options.end !== false) this.on("end", () => to.end());
    to.emit("pipe", this);
    return to;
  };
  Stream.Stream = Stream;

  const util = {
    inspect: (x) => typeof x === "string" ? "'" + x + "'" : native.shown(x),
    format(text, ...args) {
      if (typeof text !== "string") return [text, ...args].map(native.shown).join(" ");
      const out = text.replace(/%[sdifjoO%]/g, (what) => {
        if (what === "%%") return "%";
        if (args.length === 0) return what;
        const x = args.shift();
        if (what === "%d" || what === "%f") return String(Number(x));
        if (what === "%i") return String(parseInt(x, 10));
        return what === "%j" ? JSON.stringify(x) : native.shown(x);
      });
      return [out, ...args.map(native.shown)].join(" ");
    },
    promisify: (f) => function (...args) {
      return new Promise((resolve, reject) => f.call(this, ...args, (err, x) => err ? reject(err) : resolve(x)));
    },
    inherits(type, parent) { Object.setPrototypeOf(type.prototype, parent.prototype); },
    deprecate: (f) => f,
    isArray: Array.isArray,
  };

  // clone copies what a function's values are made of, each object once.
  function clone(x, seen) {
    if (typeof x === "function") throw new TypeError("a function could not be cloned");
    if (typeof x !== "object" || x === null) return x;
    seen = seen instanceof Map ? seen : new Map();
    if (seen.has(x)) return seen.get(x);
    if (x instanceof Date) return new Date(x.getTime());
    if (ArrayBuffer.isView(x)) return x.slice();
    const out = x instanceof Map ? new Map() : x instanceof Set ? new Set() : x instanceof Error ? new Error(x.message) : Array.isArray(x) ? [] : {};
    seen.set(x, out);
    if (x instanceof Map) x.forEach((value, key) => out.set(clone(key, seen), clone(value, seen)));
    else if (x instanceof Set) x.forEach((value) => out.add(clone(value, seen)));
    else for (const key of Object.keys(x)) out[key] = clone(x[key], seen);
    return out;
  }
  function microtask(f) { Promise.resolve().then(f); }
  function tick(f, ...args) { Promise.resolve().then(() => f(...args)); }

  // strings gives String what njs had for texts of bytes.
  function strings() {
    const p = String.prototype, define = (o, name, f) => Object.defineProperty(o, name, { value: f, writable: true, configurable: true });
    define(String, "bytesFrom", (x, enc) => native.encode(typeof x === "string" ? native.decode(x, enc) : Uint8Array.from(x), "latin1"));
    define(p, "toUTF8", function () { return native.encode(native.decode(String(this), "utf8"), "latin1"); });
    define(p, "fromUTF8", function () { return native.encode(native.decode(String(this), "latin1"), "utf8"); });
    define(p, "toBytes", function (from, to) {
      for (const c of this) if (c.charCodeAt(0) > 255) return null;
      return this.slice(from || 0, to);
    });
    define(p, "fromBytes", function (from, to) { return this.slice(from || 0, to); });
  }
  return { path: path, url: { parse: parse, format: format, resolve: resolve }, util: util, clone: (x) => clone(x), microtask: microtask, tick: tick, events: EventEmitter, stream: Stream, strings: strings };
})
