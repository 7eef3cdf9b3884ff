// The class URL of the URL standard, for the schemes that have hosts. Hosts, ports
// and URLSearchParams are those of the engine's author, whose own URL takes a path
// for a file's: it drops the slash at its end. native is that class.
(function (native, URLSearchParams) {
  "use strict";
  // The engine's author hands a name before its value.
  URLSearchParams.prototype.forEach = function (f, self) { for (const [name, value] of this) f.call(self, value, name, this); };
  const special = ["http", "https", "ws", "wss", "ftp"];
  function invalid(text) {
    const e = new TypeError("Invalid URL");
    e.code = "ERR_INVALID_URL";
    e.input = text;
    return e;
  }
  function parts(text) {
    const m = /^(?:([a-zA-Z][a-zA-Z0-9+.-]*):)?(?:[/\\]{2}([^/\\?#]*))?([^?#]*)(\?[^#]*)?(#[^]*)?$/.exec(text.trim().replace(/[\t\n\r]/g, ""));
    return { scheme: m[1] && m[1].toLowerCase(), authority: m[2], path: m[3], search: m[4], hash: m[5] };
  }
  // escaped escapes what may not stand in a part as it is, and keeps what is escaped.
  function escaped(text, also) {
    return Array.from(text, (c) => {
      const n = c.codePointAt(0);
      return n > 0x20 && n < 0x7f && !also.includes(c) ? c : n > 0xd7ff && n < 0xe000 ? "%EF%BF%BD" : n < 0x7f && n !== 0x20 && n > 0x1f ? "%" + n.toString(16).toUpperCase() : encodeURIComponent(c);
    }).join("");
  }
  // path has no dots left, and begins with a slash.
  function pathOf(text) {
    const out = [], all = text.replace(/\\/g, "/").replace(/^\//, "").split("/");
    all.forEach((part, i) => {
      const dots = part.replace(/%2e/gi, "."), last = i === all.length - 1;
      if (dots === "..") out.pop();
      if (dots !== "." && dots !== "..") out.push(part);
      else if (last) out.push("");
    });
    return "/" + escaped(out.join("/"), "\"#<>?`{}");
  }
  const marked = (mark, text, also) => text === mark || text === "" ? "" : mark + escaped(text.startsWith(mark) ? text.slice(1) : text, also);
  const query = (text) => marked("?", text, "\"#<>'"), fragment = (text) => marked("#", text, "\"<>`");

  class URL {
    #to; #path; #search; #hash; #params; #asked;
    constructor(input, base) {
      const text = String(input);
      if (text.length > 65536) throw invalid(text.slice(0, 100));
      const p = parts(text);
      let authority = p.authority, path = p.path, search = p.search, scheme = p.scheme;
      if (scheme && !special.includes(scheme)) return new native(text);
      if (!scheme) {
        if (base === undefined) throw invalid(text);
        const b = new URL(base);
        if (!(b instanceof URL)) return new native(text, base);
        scheme = b.protocol.slice(0, -1);
        if (authority === undefined) {
          authority = b.href.split("/")[2].split(/[?#]/)[0];
          if (path === "") {
            path = b.pathname;
            if (search === undefined) search = b.search;
          } else if (!/^[/\\]/.test(path)) path = b.pathname.replace(/[^/]*$/, "") + path;
        }
      } else if (authority === undefined) {
        const m = /^[/\\]*([^/\\]*)([^]*)$/.exec(path);
        authority = m[1]; path = m[2];
      }
      if (authority === "") { // of a scheme with hosts, any number of slashes is before them
        const m = /^[/\\]*([^/\\]*)([^]*)$/.exec(path);
        authority = m[1]; path = m[2];
      }
      const port = /:(\d+)$/.exec(authority);
      if (authority === "" || port && port[1] > 65535) throw invalid(text);
      try { this.#to = new native(scheme + "://" + authority); } catch (e) { throw invalid(text); }
      this.#path = pathOf(path);
      this.#search = query(search || "");
      this.#hash = fragment(p.hash || "");
    }
    static canParse(input, base) { try { new URL(input, base); return true; } catch (e) { return false; } }
    get searchParams() {
      if (!this.#params) { this.#params = new URLSearchParams(this.#search); this.#asked = this.#params.toString(); }
      return this.#params;
    }
    get search() {
      if (this.#params && this.#params.toString() !== this.#asked) {
        this.#asked = this.#params.toString();
        this.#search = this.#asked && "?" + this.#asked;
      }
      return this.#search;
    }
    set search(text) { this.#search = query(String(text)); this.#params = undefined; }
    get pathname() { return this.#path; }
    set pathname(text) { this.#path = pathOf(String(text).replace(/[?#]/g, encodeURIComponent)); }
    get hash() { return this.#hash; }
    set hash(text) { this.#hash = fragment(String(text)); }
    get hostname() { return this.#to.host.replace(/:\d*$/, ""); }
    set hostname(text) { this.#to.hostname = text; }
    get origin() { return this.#to.protocol + "//" + this.#to.host; }
    get href() { return this.#to.href.replace(/\/$/, "") + this.#path + this.search + this.#hash; }
    set href(text) { const u = new URL(text); this.#to = u.#to; this.#path = u.#path; this.#search = u.#search; this.#hash = u.#hash; this.#params = undefined; }
    static {
      for (const name of ["protocol", "username", "password", "host", "port"]) {
        Object.defineProperty(URL.prototype, name, { get() { return this.#to[name]; }, set(x) { this.#to[name] = x; }, enumerable: true, configurable: true });
      }
    }
    toString() { return this.href; }
    toJSON() { return this.href; }
  }
  return URL;
})
