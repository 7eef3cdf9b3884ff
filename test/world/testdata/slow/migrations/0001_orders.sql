create table orders (region text not null);
