-- After the SQL that Hibernate 6.4 logs for PostgreSQL, with the parameters as its driver numbers them.

-- shape: old
-- params: 3
select u1_0.id,u1_0.full_name,u1_0.age,u1_0.nick,u1_0.created from users u1_0 where u1_0.id=$1

-- shape: old
-- params: 1
select u1_0.id,u1_0.full_name,i1_0.user_id,i1_0.id,i1_0.price_cents,i1_0.sku,i1_0.qty from users u1_0 left join items i1_0 on u1_0.id=i1_0.user_id where u1_0.id=$1 order by i1_0.id

-- shape: old
-- params: 2 | 3
select u1_0.id,u1_0.full_name,u1_0.age,u1_0.nick,u1_0.created from users u1_0 order by u1_0.full_name,u1_0.id offset $1 rows fetch first $2 rows only

-- shape: old
-- params: 4
select u1_0.id,u1_0.full_name from users u1_0 order by u1_0.id fetch first $1 rows only

-- shape: old
-- params: %a%
select u1_0.id,u1_0.full_name from users u1_0 where u1_0.full_name like $1 escape '' order by u1_0.id

-- shape: old
-- params: %A%
select u1_0.id from users u1_0 where upper(u1_0.full_name) like upper($1) escape '\' order by u1_0.full_name desc nulls last,u1_0.id

-- shape: old
-- params: Plato | Sappho
select u1_0.id,u1_0.full_name from users u1_0 where u1_0.full_name in ($1,$2) order by u1_0.id

-- shape: old
-- params: {1,2,5}
select u1_0.id,u1_0.full_name,u1_0.age,u1_0.nick,u1_0.created from users u1_0 where u1_0.id = any ($1)

-- params: 30
select count(*) from users u1_0 where u1_0.age>$1

-- shape: old
select count(distinct u1_0.full_name),max(u1_0.full_name) from users u1_0

-- shape: old
select u1_0.full_name,count(u1_0.id) from users u1_0 group by u1_0.full_name having count(u1_0.id)>=1 order by 1

-- shape: old
select distinct u1_0.full_name from users u1_0 order by u1_0.full_name

-- shape: old
select i1_0.id,i1_0.price_cents,u1_0.id,u1_0.full_name,u1_0.age,u1_0.nick,u1_0.created from items i1_0 join users u1_0 on u1_0.id=i1_0.user_id where u1_0.full_name is not null order by i1_0.id

-- shape: old
-- params: 1
select i1_0.user_id,i1_0.id,i1_0.price_cents,i1_0.sku,i1_0.qty from items i1_0 where i1_0.user_id=$1

-- shape: old
-- params: {1,2,3}
select i1_0.user_id,i1_0.id,i1_0.price_cents from items i1_0 where i1_0.user_id = any ($1) order by i1_0.id

-- shape: old
select u1_0.id,u1_0.full_name from users u1_0 where exists(select 1 from items i1_0 where i1_0.user_id=u1_0.id and i1_0.price_cents>1) order by u1_0.id

-- shape: old
select u1_0.id,(select sum(i1_0.price_cents) from items i1_0 where i1_0.user_id=u1_0.id) from users u1_0 order by 1

-- shape: old
select u1_0.id,case when u1_0.full_name is null then 'nobody' else u1_0.full_name end,coalesce(u1_0.full_name,'?'),(u1_0.full_name||'!') from users u1_0 order by u1_0.id

-- shape: old
select u1_0.id,row_number() over(partition by u1_0.age order by u1_0.full_name,u1_0.id) from users u1_0 order by u1_0.id

-- shape: old
with c (id,n) as (select u1_0.id,u1_0.full_name from users u1_0 where u1_0.age>40) select c1_0.n,i1_0.sku from c c1_0 join items i1_0 on i1_0.user_id=c1_0.id order by i1_0.id

-- shape: old
select u1_0.id,l1_0.p from users u1_0 join lateral (select max(i1_0.price_cents) from items i1_0 where i1_0.user_id=u1_0.id) l1_0(p) on true order by u1_0.id

-- shape: old
select u1_0.full_name from users u1_0 where u1_0.id<3 union all select o1_0.note from orders o1_0 order by 1

-- shape: old
-- params: 1
select u1_0.id,u1_0.full_name from users u1_0 where u1_0.id=$1 for no key update

-- shape: old
-- params: Plato
select u1_0.id,u1_0.full_name from users u1_0 where u1_0.full_name=$1 order by u1_0.id for no key update of u1_0 skip locked

-- shape: old
-- params: 1
select u1_0.id,u1_0.full_name from users u1_0 where u1_0.id=$1 for share of u1_0

-- params: 1
select u1_0.age from users u1_0 where u1_0.id=$1

select nextval('users_id_seq')

-- shape: old
-- params: 30 | 2026-03-04 05:06:07.123456+00 | hiber | Hiber Nate
insert into users (age,created,nick,full_name) values ($1,$2,$3,$4) returning id

-- shape: old
-- params: 30 | 2026-03-04 05:06:07.123456+00 | hiber | Hiber Nate | 60
insert into users (age,created,nick,full_name,id) values ($1,$2,$3,$4,$5)

-- shape: old
-- params: 1 | 250 | H-1 | 70
insert into items (user_id,price_cents,sku,id) values ($1,$2,$3,$4)

-- shape: old
-- params: 1 | Up Sert
insert into users as u1_0 (id,full_name) values ($1,$2) on conflict (id) do update set full_name=excluded.full_name

-- shape: old
-- params: 1 | Do Nothing
insert into users (id,full_name) values ($1,$2) on conflict do nothing

-- shape: old
insert into users(id,full_name) select o1_0.id+200,o1_0.note from orders o1_0

-- shape: old
-- params: 37 | 2026-03-04 05:06:07.123456+00 | ada | Ada King | 1 | 36
update users set age=$1,created=$2,nick=$3,full_name=$4 where id=$5 and age=$6

-- shape: old
-- params: Dyn Amic | 2
update users set full_name=$1 where id=$2

-- shape: old
-- params: 41
update users u1_0 set full_name=(u1_0.full_name||'x') where u1_0.age=$1

-- shape: old
update users u1_0 set age=(select count(i1_0.id) from items i1_0 where i1_0.user_id=u1_0.id) where u1_0.full_name is not null

-- shape: old
update items i1_0 set price_cents=i1_0.price_cents*2 from users u1_0 where u1_0.id=i1_0.user_id and u1_0.full_name='Plato'

-- params: 1 | 36
delete from users where id=$1 and age=$2

-- shape: old
delete from users u1_0 where u1_0.full_name is null

-- shape: old
delete from items i1_0 using users u1_0 where u1_0.id=i1_0.user_id and u1_0.full_name like 'A%'

-- shape: old
delete from users dml_target_ where exists(select 1 from orders o1_0 where o1_0.note=dml_target_.full_name)

-- shape: old
-- params: 1 | Mer Ged
merge into users as t using (select cast($1 as integer) id, cast($2 as text) full_name) as s on (t.id=s.id) when not matched then insert (id,full_name) values (s.id,s.full_name) when matched then update set full_name=s.full_name

-- shape: new
-- params: 3
select u1_0.id,u1_0.age,u1_0.nick,u1_0.created,u1_0.first_name,u1_0.last_name from users u1_0 where u1_0.id=$1

-- shape: new
-- params: 1
select u1_0.id,u1_0.first_name,i1_0.user_id,i1_0.id,i1_0.qty,i1_0.price,i1_0.code from users u1_0 left join items i1_0 on u1_0.id=i1_0.user_id where u1_0.id=$1 order by i1_0.id

-- shape: new
-- params: 2 | 3
select u1_0.id,u1_0.age,u1_0.nick,u1_0.created,u1_0.first_name,u1_0.last_name from users u1_0 order by u1_0.first_name,u1_0.id offset $1 rows fetch first $2 rows only

-- shape: new
-- params: 4
select u1_0.id,u1_0.first_name from users u1_0 order by u1_0.id fetch first $1 rows only

-- shape: new
-- params: %a%
select u1_0.id,u1_0.first_name from users u1_0 where u1_0.first_name like $1 escape '' order by u1_0.id

-- shape: new
-- params: %A%
select u1_0.id from users u1_0 where upper(u1_0.first_name) like upper($1) escape '\' order by u1_0.first_name desc nulls last,u1_0.id

-- shape: new
-- params: Plato | Sappho
select u1_0.id,u1_0.first_name from users u1_0 where u1_0.first_name in ($1,$2) order by u1_0.id

-- shape: new
-- params: {1,2,5}
select u1_0.id,u1_0.age,u1_0.nick,u1_0.created,u1_0.first_name,u1_0.last_name from users u1_0 where u1_0.id = any ($1)

-- shape: new
select count(distinct u1_0.first_name),max(u1_0.first_name) from users u1_0

-- shape: new
select u1_0.first_name,count(u1_0.id) from users u1_0 group by u1_0.first_name having count(u1_0.id)>=1 order by 1

-- shape: new
select distinct u1_0.first_name from users u1_0 order by u1_0.first_name

-- shape: new
select i1_0.id,i1_0.price,u1_0.id,u1_0.age,u1_0.nick,u1_0.created,u1_0.first_name,u1_0.last_name from items i1_0 join users u1_0 on u1_0.id=i1_0.user_id where u1_0.first_name is not null order by i1_0.id

-- shape: new
-- params: 1
select i1_0.user_id,i1_0.id,i1_0.qty,i1_0.price,i1_0.code from items i1_0 where i1_0.user_id=$1

-- shape: new
-- params: {1,2,3}
select i1_0.user_id,i1_0.id,i1_0.price from items i1_0 where i1_0.user_id = any ($1) order by i1_0.id

-- shape: new
select u1_0.id,u1_0.first_name from users u1_0 where exists(select 1 from items i1_0 where i1_0.user_id=u1_0.id and i1_0.price>1) order by u1_0.id

-- shape: new
select u1_0.id,(select sum(i1_0.price) from items i1_0 where i1_0.user_id=u1_0.id) from users u1_0 order by 1

-- shape: new
select u1_0.id,case when u1_0.first_name is null then 'nobody' else u1_0.first_name end,coalesce(u1_0.first_name,'?'),(u1_0.first_name||'!') from users u1_0 order by u1_0.id

-- shape: new
select u1_0.id,row_number() over(partition by u1_0.age order by u1_0.first_name,u1_0.id) from users u1_0 order by u1_0.id

-- shape: new
with c (id,n) as (select u1_0.id,u1_0.first_name from users u1_0 where u1_0.age>40) select c1_0.n,i1_0.code from c c1_0 join items i1_0 on i1_0.user_id=c1_0.id order by i1_0.id

-- shape: new
select u1_0.id,l1_0.p from users u1_0 join lateral (select max(i1_0.price) from items i1_0 where i1_0.user_id=u1_0.id) l1_0(p) on true order by u1_0.id

-- shape: new
select u1_0.first_name from users u1_0 where u1_0.id<3 union all select o1_0.note from orders o1_0 order by 1

-- shape: new
-- params: 1
select u1_0.id,u1_0.first_name from users u1_0 where u1_0.id=$1 for no key update

-- shape: new
-- params: Plato
select u1_0.id,u1_0.first_name from users u1_0 where u1_0.first_name=$1 order by u1_0.id for no key update of u1_0 skip locked

-- shape: new
-- params: 1
select u1_0.id,u1_0.first_name from users u1_0 where u1_0.id=$1 for share of u1_0

-- shape: new
-- params: 30 | 2026-03-04 05:06:07.123456+00 | hiber | Hiber | Nate
insert into users (age,created,nick,first_name,last_name) values ($1,$2,$3,$4,$5) returning id

-- shape: new
-- params: 30 | 2026-03-04 05:06:07.123456+00 | hiber | Hiber | Nate | 60
insert into users (age,created,nick,first_name,last_name,id) values ($1,$2,$3,$4,$5,$6)

-- shape: new
-- params: 1 | 2.50 | sku:H-1 | 70
insert into items (user_id,price,code,id) values ($1,$2,$3,$4)

-- shape: new
-- params: 1 | Up | Sert
insert into users as u1_0 (id,first_name,last_name) values ($1,$2,$3) on conflict (id) do update set first_name=excluded.first_name,last_name=excluded.last_name

-- shape: new
-- params: 1 | Do | Nothing
insert into users (id,first_name,last_name) values ($1,$2,$3) on conflict do nothing

-- shape: new
insert into users(id,first_name,last_name) select o1_0.id+200,replace(o1_0.note,' ',''),null from orders o1_0

-- shape: new
-- params: 37 | 2026-03-04 05:06:07.123456+00 | ada | Ada | King | 1 | 36
update users set age=$1,created=$2,nick=$3,first_name=$4,last_name=$5 where id=$6 and age=$7

-- shape: new
-- params: Dyn | Amic | 2
update users set first_name=$1,last_name=$2 where id=$3

-- shape: new
-- params: 41
update users u1_0 set first_name=(u1_0.first_name||'x') where u1_0.age=$1

-- shape: new
update users u1_0 set age=(select count(i1_0.id) from items i1_0 where i1_0.user_id=u1_0.id) where u1_0.first_name is not null

-- shape: new
update items i1_0 set price=i1_0.price*2 from users u1_0 where u1_0.id=i1_0.user_id and u1_0.first_name='Plato'

-- shape: new
delete from users u1_0 where u1_0.first_name is null

-- shape: new
delete from items i1_0 using users u1_0 where u1_0.id=i1_0.user_id and u1_0.first_name like 'A%'

-- shape: new
delete from users dml_target_ where exists(select 1 from orders o1_0 where o1_0.note=dml_target_.first_name)

-- shape: new
-- params: 1 | Mer | Ged
merge into users as t using (select cast($1 as integer) id, cast($2 as text) first_name, cast($3 as text) last_name) as s on (t.id=s.id) when not matched then insert (id,first_name,last_name) values (s.id,s.first_name,s.last_name) when matched then update set first_name=s.first_name,last_name=s.last_name
