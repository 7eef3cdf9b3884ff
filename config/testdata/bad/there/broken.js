function handler(event) {
  retrun event.request;
}
